"""The demonstration: a made-up Auth0 tenant whose way in, sign-in and way out anybody can watch."""
