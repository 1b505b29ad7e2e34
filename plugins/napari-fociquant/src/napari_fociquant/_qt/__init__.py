"""Everything with a window; nothing outside this folder imports Qt."""
