"""From a folder to a gallery: sources of images, and the pipeline that embeds and stores them."""
