"""What each answer tells the browser not to do."""

# Everything comes from this site and nothing is inline; `blob:` is the preview of a picture that
# was chosen and not yet sent.
_PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src 'self' blob:",
        "style-src 'self'",
        "script-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "manifest-src 'self'",
    )
)
# A picture opened on its own must not run anything, whatever it is.
_PICTURE_POLICY = "default-src 'none'; sandbox"
PICTURES = ("/media/", "/original/")
_FEATURES = (
    "accelerometer",
    "camera",  # a phone's camera app, which the file input opens, is not this
    "display-capture",
    "geolocation",
    "gyroscope",
    "microphone",
    "payment",
    "usb",
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # "no-referrer" would make browsers send `Origin: null` with forms, which Django refuses
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{name}=()" for name in _FEATURES),
}


def safe_headers(path: str) -> dict[str, str]:
    """The headers of an answer to `path`, unless it has them already."""
    policy = _PICTURE_POLICY if path.startswith(PICTURES) else _PAGE_POLICY
    return {"Content-Security-Policy": policy, **_ALWAYS}
