"""Servers whose TLS is wrong in each way that there is, for `FaultServer(tls=...)`."""

import ssl
import warnings
from datetime import UTC, datetime, timedelta

import trustme

NAMES = ("good.test", "127.0.0.1")


class Certificates:
    """An authority that a test trusts, and servers that have, or have not, its certificates."""

    def __init__(self, folder):
        self.authority, self.other = trustme.CA(), trustme.CA()
        self.file = str(folder / "authority.pem")
        self.authority.cert_pem.write_to_path(self.file)
        self.names = []  # that clients asked for by SNI

    def variants(self):
        """What `FaultServer` takes as `tls`."""
        past = datetime.now(UTC) - timedelta(days=1)
        old = {"not_before": past - timedelta(days=30), "not_after": past}
        issue = self.authority.issue_cert
        return {
            "good": self._context(issue(*NAMES)),
            "wrong-host": self._context(issue("other.test")),
            "expired": self._context(issue(*NAMES, **old)),
            "self-signed": self._context(self.other.issue_cert(*NAMES)),
            "tls-1.0": self._old(issue(*NAMES)),
            "sni": self._by_name(issue("good.test"), issue("other.test")),
            "plain": None,
            "hang": "hang",
            "drip": "drip",
        }

    def _context(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        return context

    def _old(self, certificate):
        context = self._context(certificate)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        return context

    def _by_name(self, right, wrong):
        """A server that has the right certificate only for those that say whom they want."""
        context, named = self._context(wrong), self._context(right)

        def choose(connection, name, _):
            self.names.append(name)
            if name == "good.test":
                connection.context = named

        context.sni_callback = choose
        return context
