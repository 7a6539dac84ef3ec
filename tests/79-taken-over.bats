#!/usr/bin/env bats
# A fetcher that has been taken over (takeover/takeover.c, an attack by each account's user name) beside the program's own
# poller and deliverer: whatever it does, its account ends, what it has not delivered is not recorded, nothing is
# written elsewhere, and other accounts go on.

load helper

setup() {
	default_setup
	ln -sf "$BUILD/tests/takeover/takeover" "$POPHAUL"
}

# attacker NAME ATTACK [LINE…]: an account.
attacker() {
	local name=$1 attack=$2

	shift 2
	printf 'account "%s" {\nhost = "127.0.0.1"\ntls = none\nuser = "%s"\npassword = "x"\n' "$name" "$attack"
	printf '%s\n' "$@"
	[[ $(id -u) -ne 0 || $* != *pipe:* ]] || echo 'run-as = "root"'
	[[ $* == *deliver* ]] || printf 'deliver = "maildir:%s/mail/%s"\n' "$HOME" "$name"
	echo '}'
}

# The subjects of an account's Maildir.
mail_of() {
	local file

	for file in "mail/$1"/{new,cur}/*; do
		[ ! -e "$file" ] || sed -n '1s/^Subject: //p' "$file"
	done | sort | paste -sd ' '
}

# ATTACK|STATUS|what is told of it|lines of the account
ATTACKS='text-of-no-message|70|sent text of no message|
message-in-message|70|began message 2 out of turn|
message-twice|70|began message 1 out of turn|
message-unlisted|70|speaks of message 4711, which is not listed|
message-zero|70|speaks of message 0, which is not listed|
message-unplanned|70|began message 3 out of turn|max-messages = 1
end-of-another|70|ended message 2, which is not on its way|
end-of-nothing|70|ended message 1, which is not on its way|
cut-and-ended|70|ended message 1, which is not on its way|
deleted-unfetched|70|out of turn|keep = never
deleted-unsettled|70|out of turn|keep = never
gone-at-once|70|out of turn|keep = never
quitting-without-deletions|70|out of turn|
well-without-listing|70|says that all is well without a listing|
well-without-mail|70|says that all is well, and 3 messages that it was to fetch did not come|
listed-again|70|out of turn|
rows-unlisted|70|sent too many rows|
row-twice|70|sent message 1 twice|
frames-of-the-deliverer|70|out of turn|
frames-for-the-poller|70|out of turn|
token-unasked|70|out of turn|
token-in-transfer|70|out of turn|
garbage|70|a frame of type 1651663207 with|
frame-of-4-gib|70|a frame of type 12 with 4294967295 octets|
half-a-frame|71|ended without a word|
number-too-short|70|a malformed frame of type 8|
class-unknown|70|a malformed frame of type 18|
phase-unknown|70|out of turn|
row-zero|70|a malformed frame of type 3|
delay-of-a-century|70|a malformed frame of type 5|
rows-without-end|70|sent too many rows|
ids-without-end|76|octets in all, which is the limit|
rows-of-2-gib|70|sent 1 rows and 1 sizes and says it is 2147483648|
sizes-without-end|70|sent sizes of no rows|
sizes-of-16-eib|0||
begins-without-end|70|began message 1 out of turn|
refusals-without-end|70|says that message 1 was refused, out of turn|
alive-without-end|75|ended at once: it went on after session-limit (1 s)|session-limit = 1s timeout = 1s
silence|69|gives no sign of life|timeout = 1s connect-timeout = 1s
deaf|71|does not read|timeout = 1s connect-timeout = 1s
descriptors|0||
terminal|69|?[31m??pophaul: all is well??|
dies|70|the fetcher process was killed by signal 9|
leaves|71|ended without a word|'

@test "each attack ends its account, the account beside them gets its mail, and nothing false is left" {
	local attack status_of said lines

	while IFS='|' read -r attack _ _ lines; do
		attacker "$attack" "$attack" "$lines"
	done <<<"$ATTACKS" >attackers
	{ attacker honest honest 'keep = never'; cat attackers; } | write_config
	POPHAUL_LIMIT=100 poll --log-format json
	while IFS='|' read -r attack status_of said _; do
		grep -F "\"account\":\"$attack\"," <<<"$output" >line || fail "no report of $attack" "$stderr"
		[[ $(<line) == *"\"status\":$status_of,"* ]] || fail "$attack: not $status_of: $(<line)"
		[[ $(<line) == *"$said"* ]] || fail "$attack: not '$said': $(<line)"
	done <<<"$ATTACKS"
	assert_equal "$(mail_of honest)" '1 2 3'
	grep -q '"account":"honest","result":"ok","status":0,"fetched":3,.*"deleted":3' <<<"$output"
	# Nothing was recorded as deleted, or delivered without being there.
	assert_equal "$(grep -l '^\(bye\|gone\) ' "$STATE"/*.uidl)" "$(grep -l '^\(bye\|gone\) ' "$STATE/honest.uidl")"
	while IFS='|' read -r attack _; do
		assert_equal "$attack: $(grep -c '^got ' "$STATE/$attack.uidl")" "$attack: $(mail_of "$attack" | wc -w)"
	done <<<"$ATTACKS"
	# Nor written anywhere else.
	assert_equal "$(find . -newer "$CONF" -type f ! -path './mail/*' ! -name line)" ''
	refute_output_has 'a lie'
	[[ $output$stderr != *$'\033'* && $output$stderr != *$'\r'* ]]

	# An honest session behind each attack finds its account as usable as ever.
	sed -i 's/^user = .*/user = "honest"/; s/^max-messages.*//; s/^session-limit.*//; s/^timeout.*//' "$CONF"
	poll --log-format json
	assert_status 0
	while IFS='|' read -r attack _; do
		assert_equal "$attack: $(mail_of "$attack")" "$attack: 1 2 3"
	done <<<"$ATTACKS"
}

@test "a message that its destination refused, or that was confirmed already, cannot be confirmed" {
	{
		attacker unkept deleted-unkept 'keep = never' 'deliver = "pipe:false"'
		attacker again gone-twice 'keep = never'
	} | write_config
	poll
	assert_status 70
	assert_stderr_has 'unkept: the fetcher sent a frame of type 14 out of turn'
	assert_stderr_has 'again: the fetcher sent a frame of type 17 out of turn'
	assert_equal "$(grep -cE '^(got|bye|gone) ' "$STATE/unkept.uidl" || :)" 0
	assert_equal "$(mail_of again)" '1 2 3'
	assert_equal "$(grep -cE '^(bye|gone) ' "$STATE/again.uidl")" 3
}

@test "ids that are paths, lines and NULs are recorded as what they are, and name no file" {
	attacker home ids-as-paths | write_config
	for _ in 1 2; do
		poll
		assert_status 0
	done
	# The second session asks for nothing that was delivered.
	assert_equal "$(count_files mail/home/new)" 3
	assert_equal "$(sed -n 's/^got [0-9]* [0-9]* [0-9a-f]* //p' "$STATE/home.uidl" | sort)" \
		"$(printf '%s\n' '../../../escaped' '/tmp/escaped%00u2' 'u3%0Agot%201%202%203%20u4%0D%0A%2500%252e' | sort)"
	assert_equal "$(find / -xdev -path /proc -prune -o -name 'escaped*' -newer "$CONF" -print 2>/dev/null)" ''
}

@test "envelope senders that are options, commands and lines are words of a command, and no line of an mbox" {
	cat >record <<-'EOF'
		#!/bin/sh
		{ printf '%s|' "$#" "$@"; echo; } >>"$HOME/words"
		cat >/dev/null
	EOF
	chmod 700 record
	{
		attacker command senders "deliver = \"pipe:$HOME/record -f %s --\""
		attacker box senders "deliver = \"mbox:$HOME/mbox\""
	} | write_config
	poll
	assert_status 0
	assert_equal "$(wc -l <words)" 3
	assert_equal "$(grep -vc '^3|-f|[^|]*|--|$' words || :)" 0
	# Never an option, nor a line of its own.
	assert_equal "$(cut -d '|' -f 3 words | grep -c '^-' || :)" 0
	assert_equal "$(grep -ac '^From ' mbox)" 3
	assert_equal "$(grep -ac '^>From c@d$' mbox)" 3
	assert_equal "$(grep -ac '^>*From evil' mbox || :)" 0
	[ ! -e escaped ]
	[ ! -e /tmp/escaped ]
}

@test "in the cage no other account's state, mail or configuration can be had, nor this one's" {
	local hoard

	{ attacker other honest; attacker thief-1 thief-at-login; attacker thief-2 thief-in-transfer; } | write_config
	poll other
	assert_status 0
	hoard=$CONF:$STATE/other.uidl:$STATE/other.lock:$STATE/thief-1.uidl:$STATE/thief-2.uidl:$(echo mail/other/new/*)
	hoard=$(sed "s|:mail|:$HOME/mail|; s| |:$HOME/|g" <<<"$hoard")
	find . "$STATE" -type f -exec sha256sum {} + >"$BATS_TEST_TMPDIR/before"
	HOARD=$hoard poll --log-format json thief-1 thief-2
	assert_status 69
	assert_equal "$(sed -n 's/.*"error":"\(.*\)"}$/\1/p' <<<"$output")" $'got nothing\ngot nothing'
	sha256sum --quiet --check "$BATS_TEST_TMPDIR/before"
	# Without the cage it gets all of it.
	sed -i 's/^host/sandbox = off\nhost/' "$CONF"
	HOARD=$hoard poll --log-format json thief-1
	assert_output_has "\"error\":\"$CONF, $CONF, $CONF, $STATE/other.uidl"
}

@test "what is typed at the terminal is not the fetcher's, which tells its errors there" {
	attacker home keys | write_config
	printf 'typed\n' >typed
	run timeout -k 5 60 script -qec "$POPHAUL" /dev/null <typed
	assert_status 0
	assert_output_has 'the thief at the terminal'
	assert_equal "$(mail_of home)" '1 2 3'
}

@test "a listing without end takes no more memory than the longest real one" {
	for attack in rows-without-end ids-without-end; do
		attacker home $attack | write_config
		run --separate-stderr pophaul_measured
		[ "$status" -ne 0 ]
		assert_memory_below 192
	done
}

@test "signs of life without end do not hold up who is asked to stop" {
	attacker home alive-without-end 'timeout = 1s' 'connect-timeout = 1s' | write_config
	timeout --foreground -k 30 60 "$POPHAUL" -v </dev/null >run.out 2>run.err 3>&- &
	SERVER_PIDS+=("$!")
	wait_until 20 grep -q 'message 3 (u3): new' run.err
	# timeout(1) passes it on, once.
	kill -TERM "${SERVER_PIDS[-1]}"
	status=0
	wait "${SERVER_PIDS[-1]}" || status=$?
	assert_equal "$status" 75
	grep -q 'gives no sign of life' run.err || fail "$(cat run.err run.out)"
	no_process_is_left
}
