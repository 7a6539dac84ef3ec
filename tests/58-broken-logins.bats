#!/usr/bin/env bats
# As 50-broken-replies: the connection ends inside the replies that lead to TLS and to other logins,
# and, through TLS, inside a message.

load helper
load breaks

@test "under TLS the stream ends with a goodbye inside a message, or behind it: an error all the same" {
	SERVER_OPTIONS=(--tls) AT_ONCE=4 COUNT=18
	all_places bye '@(RETR|DELE|QUIT)*'
}

@test "under TLS the stream ends without a goodbye inside a message, or behind it" {
	SERVER_OPTIONS=(--tls) AT_ONCE=4 COUNT=18
	all_places drop '@(RETR|DELE|QUIT)*'
}

@test "the server breaks off inside the replies that lead to TLS" {
	local action

	SERVER_OPTIONS=(--stls) BEFORE_LOGIN=yes COUNT=3
	COMMANDS=$'CAPA\nSTLS'
	PLACES="
STLS, nothing|on STLS @|STLS|'127.0.0.1': waiting for the reply to STLS
STLS, in the status|on STLS raw \"+O\"; @|STLS|'127.0.0.1': waiting for the reply to STLS
STLS, before its LF|on STLS raw \"+OK\\r\"; @|STLS|'127.0.0.1': waiting for the reply to STLS
"
	for action in drop reset stall; do
		all_places "$action" '*'
	done
}

@test "the server breaks off inside the reply to UTF8" {
	local action

	EXTRA='capa +UTF8' COUNT=2
	COMMANDS=$'CAPA\nUTF8\nUSER jane\nPASS secret'
	PLACES='
UTF8, nothing|on UTF8 @|UTF8|waiting for the reply to UTF8
UTF8, in the status|on UTF8 raw "+O"; @|UTF8|waiting for the reply to UTF8
'
	for action in drop reset stall; do
		all_places "$action" '*'
	done
}

@test "the server breaks off in the middle of an AUTH" {
	local action

	AUTH='auth = "LOGIN"' COUNT=5
	COMMANDS=$'CAPA\nAUTH LOGIN\namFuZQ==\nc2VjcmV0'
	PLACES='
AUTH, nothing|on AUTH @|AUTH LOGIN|waiting for the reply to AUTH LOGIN
AUTH, in the challenge|on AUTH raw "+ VXNlcm"; @|AUTH LOGIN|waiting for the reply to AUTH LOGIN
AUTH, behind a response|on AUTH send + VXNlcm5hbWU6; read; @|amFuZQ==|waiting for the reply to AUTH LOGIN
AUTH, in the second challenge|on AUTH send + VXNlcm5hbWU6; read; raw "+"; @|amFuZQ==|waiting for the reply to AUTH LOGIN
AUTH, at its end|on AUTH send + VXNlcm5hbWU6; read; send + UGFzc3dvcmQ6; read; raw "+O"; @|c2VjcmV0|waiting for the reply to AUTH LOGIN
'
	for action in drop reset stall; do
		all_places "$action" '*'
	done
}
