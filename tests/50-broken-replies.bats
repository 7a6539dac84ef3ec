#!/usr/bin/env bats
# The connection ends in the middle of a reply: closed, closed with TLS's goodbye, reset, or
# silent for too long; inside each kind of reply. The client's lines, what arrived, the state of
# things in between, the status and the message are compared, and the next session
# brings exactly the rest.

load helper
load breaks

@test "the server hangs up inside each reply: an error, nothing half, and the rest next time" {
	all_places drop '*'
}

# A greeting is left out: the reset may come as early as the connection's end.
@test "the server resets the connection inside the replies behind the login" {
	COUNT=29
	all_places reset '@(UIDL|LIST|RETR|DELE|QUIT)*'
}

@test "the server falls silent inside each reply: an error, nothing half, and the rest next time" {
	AT_ONCE=8
	all_places stall '*'
}

@test "half a message reaches no mbox" {
	DEST='mbox:~/mbox' COUNT=13
	all_places drop 'RETR*'
}

@test "half a message reaches no command" {
	DEST="pipe:sh -c 'cat >>arrived'" COUNT=13
	all_places drop 'RETR*'
}
