"""``quintile doctor``: checks of the installation, each finding with advice."""
