"""The export ceremony: how password hashes, MFA secrets and private keys leave, and what proves it."""
