"""The web page: search by image in the browser, served by `dinoseek serve`."""
