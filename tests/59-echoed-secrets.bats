#!/usr/bin/env bats
# A server that repeats what it was sent puts no password into cron's mail or a log: not as it is, not
# in base64, not cut, in none of the ways to log in, in no form of output.

load helper

setup() {
	default_setup
	PASSWORD=pa55-of-jane
	ENCODED=$(printf %s "$PASSWORD" | base64)
	PLAIN=$(printf '\0jane\0%s' "$PASSWORD" | base64)
}

# shows STATUS TEXT AUTH LINE…: a login that the server of these lines refuses; in each form of output the
# text is there, and the secrets are not.
shows() {
	local wanted=$1 text=$2 auth=$3 line args=() option

	shift 3
	for line in "$@"; do
		args+=(-e "$line")
	done
	stop_servers
	start_fakepop -e 'capa -AUTH-RESP-CODE' "${args[@]}"
	account box "auth = \"$auth\"" "password = \"$PASSWORD\"" | write_config
	for option in '' -v -vv '-vv --log-format json'; do
		rm -rf "$STATE"
		# shellcheck disable=SC2086
		run pophaul $option
		assert_status "$wanted"
		assert_output_has "$text"
		refute_output_has "$PASSWORD"
		refute_output_has "${PASSWORD:0:9}"
		refute_output_has "${ENCODED:0:12}"
		refute_output_has "${PLAIN:0:12}"
	done
}

@test "a server that repeats PASS, in whatever case, alone or twice, is shown without the password" {
	shows 77 'unknown command: PASS ****' USER "on PASS send -ERR unknown command: PASS $PASSWORD"
	shows 77 'UNKNOWN PASS ****' USER "on PASS send -ERR UNKNOWN PASS ${PASSWORD^^}"
	shows 77 '****, really ****' USER "on PASS send -ERR $PASSWORD, really $PASSWORD?"
	shows 77 'PASS ****' USER "on PASS send -ERR in short: PASS ${PASSWORD:0:9}"
}

@test "nor is it in a line that is no reply" {
	shows 76 'PASS ****: what?' USER "on PASS send PASS $PASSWORD: what?"
	shows 76 'AUTH PLAIN ****: what?' PLAIN "on AUTH send AUTH PLAIN $PLAIN: what?"
}

@test "the name of the user is no secret" {
	shows 77 'no mailbox for jane' USER "on PASS send -ERR no mailbox for jane"
	shows 77 'USER jane' USER "on USER send -ERR [AUTH] unknown command: USER jane"
}

@test "what AUTH sends is not shown: PLAIN, LOGIN, CRAM-MD5, whole, decoded or cut" {
	shows 77 'AUTH PLAIN ****' PLAIN "on AUTH send -ERR unknown command: AUTH PLAIN $PLAIN"
	shows 77 'too long: ****...' PLAIN "on AUTH send -ERR too long: ${PLAIN:0:14}..."
	shows 77 'user jane, password ****' PLAIN "on AUTH send -ERR user jane, password $PASSWORD"
	shows 77 'what is ****?' LOGIN \
		"on AUTH send + VXNlcm5hbWU6; read; send + UGFzc3dvcmQ6; read; send -ERR what is $ENCODED?"
	shows 77 'unknown command: ****' CRAM-MD5 \
		'on AUTH send + PDEuMkBleGFtcGxlLm9yZz4=; expect /^.+$/; send -ERR unknown command: amFuZSAyMzgzNjlkZjRjODkzZGM3YzFhYjMxYzk4YzY5ZGNiMA=='
}

@test "a password of three letters is hidden where it is a word of its own" {
	PASSWORD=abc
	start_fakepop -e 'capa -AUTH-RESP-CODE' -e 'on PASS send -ERR PASS abc is not in the abcdef of secrets'
	account box 'auth = "USER"' 'password = "abc"' | write_config
	run pophaul -vv
	assert_status 77
	assert_output_has 'PASS *** is not in the abcdef of secrets'
	refute_output_has 'PASS abc'
}

@test "a password that is a word of the protocol changes nothing of what replies mean" {
	local word

	for word in +OK -ERR AUTH later SYS/TEMP; do
		rm -rf "$STATE" Maildir
		stop_servers
		start_fakepop -e "password $word" -e 'messages 1' -e 'session 2 on PASS send -ERR [SYS/TEMP] later' \
			-e 'session 3 on PASS send -ERR [AUTH] no'
		account box 'auth = "USER"' "password = \"$word\"" | write_config
		run pophaul
		assert_status 0
		run pophaul
		assert_status 75
		run pophaul
		assert_status 77
	done
}

@test "the login over, no text is touched any more" {
	start_fakepop -e "password $PASSWORD" -e "message \"Subject: $PASSWORD\\n\\n$PASSWORD\\n\"" -e "uidl 1 $PASSWORD"
	account box 'auth = "USER"' "password = \"$PASSWORD\"" | write_config
	run pophaul -v
	assert_status 0
	assert_output_has "message 1 ($PASSWORD): new"
	grep -q "^$PASSWORD\$" Maildir/new/*
	grep -q "^got .* $PASSWORD\$" "$STATE/box.uidl"
}
