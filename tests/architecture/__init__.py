"""Rules of the code base, each as a check that is shown to catch a bad sample."""
