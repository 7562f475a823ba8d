"""Tools that several test packages use."""
