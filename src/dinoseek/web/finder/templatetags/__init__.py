"""Tags and filters of the page's templates."""
