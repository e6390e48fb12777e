"""What tests of several packages need: programs, browser, Node, databases."""
