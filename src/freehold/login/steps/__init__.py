"""The steps of a sign-in, one file each."""
