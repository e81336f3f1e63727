"""Jobs: what runs in the background, and the rows in app.runs that tell of it."""
