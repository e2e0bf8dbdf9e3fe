"""Which masks are allowed."""
