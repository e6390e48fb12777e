"""The freehold command; imports anything, nothing imports it."""
