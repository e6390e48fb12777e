"""The control socket: what the operator's commands ask of the server that runs on the same data folder.

A Unix socket in the data folder, for the folder's owner only, who could as well change the database. A line of JSON
each way: `{"command": NAME, "arguments": [...]}`, and `{}` or `{"refusal": MESSAGE}`. A command that finds no
server does its work itself; asking saves it the start of a whole program.
"""

SOCKET_NAME = "control.sock"
MAX_LINE_BYTES = 65_536

RESET_TENANT = "reset-tenant"
