#!/usr/bin/env bats
# Listings, ids, numbers, texts and codes that no RFC knows: what the program then says to the
# server, what it delivers and what it tells, each compared as a whole.

load helper

# rows TEXT…: octets of a listing as fakepop's raw and content want them, status and end included.
rows() {
	printf '+OK\\r\\n'
	[ $# -eq 0 ] || printf '%s\\r\\n' "$@"
	printf '.\\r\\n'
}

# hands_out N…: rules for messages of any number.
hands_out() {
	local n

	MAILS=('messages 0')
	for n in "$@"; do
		MAILS+=("on /^RETR $n\$/ raw \"+OK\\r\\nSubject: $n\\r\\n\\r\\ntext of $n\\r\\n.\\r\\n\"")
	done
}

fetch() {
	account box 'auth = "USER"' 'timeout = "2s"' "$@" | write_config
	run --separate-stderr pophaul "${OPTIONS[@]}"
}

# said N: the commands of session N behind the login, joined.
said() {
	transcript "$1" | sed '1,/^PASS/d' | paste -sd ' '
}

forget() {
	rm -rf "$STATE" "$HOME/Maildir"
}

LISTS='CAPA UIDL LIST'

# ends N STATUS TEXT COMMANDS MAIL: how the run just made ended, whose session was the Nth.
ends() {
	if [ "$status" -ne "$2" ] || [[ $stderr != *"$3"* ]]; then
		fail "wanted $2: $3" "got $status: $stderr" "$(said "$1")"
	fi
	[ -n "$3" ] || [ "${OPTIONS[*]}" ] || assert_equal "$stderr" ''
	assert_equal "$(said "$1")" "$4"
	assert_equal "$(mails_here)" "$5"
}

setup() {
	default_setup
	OPTIONS=()
	mails 1 2 3
}

# ---- unique ids ----

@test "an id of 5000 octets, and two that differ in their last octet, are messages like all others" {
	long=$(printf 'x%.0s' {1..4999})
	serve "${MAILS[@]}" "uidl 1 ${long}a" "uidl 3 ${long}b" "session 3+ replace 2 \"Subject: 2\\n\\ntext of 2\\n\""
	fetch
	ends 1 0 '' "$LISTS RETR 1 RETR 2 RETR 3 QUIT" '1 2 3'
	assert_equal "$(grep -c '^got .* long-id-[0-9a-f]\{32\}$' "$STATE/box.uidl")" 2
	OPTIONS=(-v)
	fetch
	ends 2 0 'ids of more than 4096 octets, known by their digests: 2' "$LISTS QUIT" '1 2 3'
	OPTIONS=()
	fetch 'keep = "never"'
	ends 3 0 '' "$LISTS DELE 1 DELE 2 DELE 3 QUIT" '1 2 3'
	assert_equal "$(transcript_events 3 | grep -c '^deleted')" 3
}

@test "ids of 600 and of 4096 octets are kept as they are, one of 70000 ends the session and harms nothing" {
	id=$(printf 'y%.0s' {1..4096})
	serve "${MAILS[@]}" "uidl 1 $id" "uidl 2 ${id:0:600}" "session 2 uidl 3 $(printf 'z%.0s' {1..70000})"
	fetch
	ends 1 0 '' "$LISTS RETR 1 RETR 2 RETR 3 QUIT" '1 2 3'
	grep -q "^got .* $id\$" "$STATE/box.uidl"
	grep -q "^got .* ${id:0:600}\$" "$STATE/box.uidl"
	cp "$STATE/box.uidl" before
	fetch 'keep = "never"'
	ends 2 76 'the server sent a line of more than 65536 octets' "$LISTS" '1 2 3'
	grep -v '^fact ' "$STATE/box.uidl" | cmp - <(grep -v '^fact ' before)
	fetch
	ends 3 0 '' "$LISTS QUIT" '1 2 3'
}

@test "ids are octets: quotes, slashes, percent signs, tabs, NUL, escapes and 8-bit, each known again and deleted" {
	local ids=('a\"b' "it's" '../../etc/passwd' '%' '%-' '%41' 'two  words' 'tab\there' '\x1b]0;x\x07'
		'\xe9\xff\x80' '$(touch /tmp/x)' '-' 'got 1 2 3' '#' '<a@b>' 'a' 'A' '.' '..x') script=() n=0

	for id in "${ids[@]}"; do
		mails_one=$((++n))
		script+=("message \"Subject: $mails_one\\n\\ntext of $mails_one\\n\"" "uidl $mails_one \"$id\"")
	done
	serve "${script[@]}"
	all=$(seq -s ' ' "$n")
	fetch
	ends 1 0 '' "$LISTS $(seq -f 'RETR %g' -s ' ' "$n") QUIT" "$all"
	run ! grep -q '[^ -~]' "$STATE/box.uidl"
	assert_equal "$(grep -c '^got ' "$STATE/box.uidl")" "$n"
	fetch
	ends 2 0 '' "$LISTS QUIT" "$all"
	fetch 'keep = "never"'
	ends 3 0 '' "$LISTS $(seq -f 'DELE %g' -s ' ' "$n") QUIT" "$all"
	assert_equal "$(transcript_events 3 | grep -c '^deleted')" "$n"
}

@test "empty ids, one or several, and rows of a number alone are mail that comes once" {
	serve "${MAILS[@]}" 'uidl 1 ""' 'session 2+ uidl 2 ""'
	fetch
	ends 1 0 '' "$LISTS RETR 1 RETR 2 RETR 3 QUIT" '1 2 3'
	fetch
	ends 2 0 '' "$LISTS RETR 1 RETR 2 QUIT" '1 2 3'
	fetch
	ends 3 0 '' "$LISTS QUIT" '1 2 3'
	forget
	hands_out 1 2
	serve "${MAILS[@]}" "on UIDL raw \"$(rows 1 2)\"" "on LIST raw \"$(rows '1 9' '2 9')\""
	fetch
	ends 1 0 '' "$LISTS RETR 1 RETR 2 NOOP QUIT" '1 2'
	fetch
	ends 2 0 '' "$LISTS QUIT" '1 2'
}

@test "ids that are swapped between sessions are known, and compared before deletion where a size tells that something is wrong" {
	serve "${MAILS[@]}" 'session 2+ uidl 1 uid-3' 'session 2+ uidl 3 uid-1' 'session 3+ size 1 77'
	fetch
	ends 1 0 '' "$LISTS RETR 1 RETR 2 RETR 3 QUIT" '1 2 3'
	fetch
	ends 2 0 '' "$LISTS QUIT" '1 2 3'
	# One has another size by now: it is compared, and is not what its id meant. That the same text came
	# under an id that is still listed proves nothing, there may be two such mails: rather twice than never.
	fetch 'keep = "never"'
	ends 3 0 '' "$LISTS RETR 1 DELE 1 DELE 2 DELE 3 QUIT" '1 1 2 3'
}

@test "an id that another message of another size has by now is not deleted unseen" {
	serve "${MAILS[@]}" 'session 2+ replace 2 "Subject: 22\n\ntext of 22\n"'
	fetch
	fetch 'keep = "never"'
	ends 2 0 '' "$LISTS RETR 2 DELE 1 DELE 2 DELE 3 QUIT" '1 2 3 22'
}

@test "a mailbox renumbered in one session and back in the next brings nothing twice" {
	serve "${MAILS[@]}" 'session 2 uidl-prefix other-'
	fetch
	fetch
	ends 2 0 '' "$LISTS RETR 1 RETR 2 RETR 3 QUIT" '1 2 3'
	fetch
	ends 3 0 '' "$LISTS RETR 1 RETR 2 RETR 3 QUIT" '1 2 3'
	fetch 'keep = "never"'
	ends 4 0 '' "$LISTS DELE 1 DELE 2 DELE 3 QUIT" '1 2 3'
}

@test "all messages of one id come once, however they are ordered, joined and thinned out" {
	serve "${MAILS[@]}" 'uidl 1 same' 'uidl 2 same' 'uidl 3 same' 'session 2 hide 1' 'session 4+ hide 2'
	fetch
	ends 1 0 '' "$LISTS RETR 1 RETR 2 RETR 3 QUIT" '1 2 3'
	fetch
	ends 2 0 '' "$LISTS RETR 1 RETR 2 QUIT" '1 2 3'
	fetch
	ends 3 0 '' "$LISTS RETR 1 RETR 2 RETR 3 QUIT" '1 2 3'
	fetch 'keep = "never"'
	ends 4 0 '' "$LISTS RETR 1 RETR 2 DELE 1 DELE 2 QUIT" '1 2 3'
}

# ---- the shape of a listing ----

@test "numbers that are none end the session before anything is fetched, deleted or forgotten" {
	local bad=(0 -1 +1 1.5 1e3 4294967296 9223372036854775808 18446744073709551616 0x1 one '1,5'
		123456789012345678901234567890 '\0' '1\0' '\xb1') script=() n=1

	for number in "${bad[@]}"; do
		script+=("session $((++n)) on UIDL raw \"$(rows '1 uid-1' "$number uid-2")\""
			"session $((++n)) on LIST raw \"$(rows '1 25' "$number 25")\"")
	done
	serve "${MAILS[@]}" "${script[@]}"
	fetch
	cp "$STATE/box.uidl" before
	n=1
	for number in "${bad[@]}"; do
		shown=${number//\\0/\\x00}
		fetch 'keep = "never"'
		ends $((++n)) 76 "unexpected reply to UIDL: \"$shown uid-2\"" "$LISTS" '1 2 3'
		fetch 'keep = "never"'
		ends $((++n)) 76 "unexpected reply to LIST: \"$shown 25\"" "$LISTS" '1 2 3'
	done
	grep -v '^fact ' "$STATE/box.uidl" | cmp - <(grep -v '^fact ' before)
	fetch
	ends $((n + 1)) 0 '' "$LISTS QUIT" '1 2 3'
}

@test "numbers may be great, begin with zeros, have gaps and come in any order" {
	hands_out 1 7 2147483648 4294967295
	serve "${MAILS[@]}" "on UIDL raw \"$(rows '4294967295 d' '7 b' '2147483648 c' '0001 a')\"" \
		"on LIST raw \"$(rows '2147483648 5' '1 5' '4294967295 5' '7 5')\""
	fetch
	ends 1 0 '' "$LISTS RETR 1 RETR 7 RETR 2147483648 RETR 4294967295 NOOP QUIT" '1 7 2147483648 4294967295'
	fetch
	ends 2 0 '' "$LISTS QUIT" '1 7 2147483648 4294967295'
}

@test "a number that comes twice ends the session, be it apart or together, in either listing" {
	serve "${MAILS[@]}" "session 2 on UIDL raw \"$(rows '2 uid-2' '1 uid-1' '2 uid-9' '3 uid-3')\"" \
		"session 3 on LIST raw \"$(rows '1 25' '2 25' '2 25' '3 25')\"" \
		"session 4 on LIST raw \"$(rows '2 25' '1 25' '3 25' '2 20')\""
	fetch
	cp "$STATE/box.uidl" before
	for session in 2 3 4; do
		fetch 'keep = "never"'
		ends "$session" 76 'the server lists message 2 twice' "$LISTS" '1 2 3'
	done
	grep -v '^fact ' "$STATE/box.uidl" | cmp - <(grep -v '^fact ' before)
}

@test "sizes decide nothing: missing, wrong, negative, absurd, huge, text" {
	local sizes=('' ' 0' ' -1' ' +5' ' 1.5' ' 1e9' ' 0x10' ' many' ' 9223372036854775807' ' 9223372036854775808'
		' 18446744073709551615' ' 18446744073709551616' ' 1234567890123456789012345678901234567890'
		' 19 octets' '\t19' ' \0' ' \x1b[2J' ' 19\r') list=() uidl=() n=0

	for size in "${sizes[@]}"; do
		list+=("$((++n))$size")
		uidl+=("$n id-$n")
	done
	# shellcheck disable=SC2046
	hands_out $(seq "$n")
	serve "${MAILS[@]}" "on UIDL raw \"$(rows "${uidl[@]}")\"" "on LIST raw \"$(rows "${list[@]}")\"" 'on DELE send +OK'
	fetch
	ends 1 0 '' "$LISTS $(seq -f 'RETR %g' -s ' ' "$n") NOOP QUIT" "$(seq -s ' ' "$n")"
	fetch
	ends 2 0 '' "$LISTS QUIT" "$(seq -s ' ' "$n")"
	OPTIONS=(-l)
	fetch
	assert_status 0
	assert_equal "$(wc -l <<<"$output")" $((n + 1))
	OPTIONS=(-n)
	fetch 'keep = "never"'
	assert_status 0
	OPTIONS=()
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(said 5 | tr ' ' '\n' | grep -c DELE)" "$n"
	# Where no size was told the id alone is not enough for a deletion.
	assert_equal "$(said 5 | tr ' ' '\n' | grep -c RETR)" 11
	assert_equal "$(mails_here)" "$(seq -s ' ' "$n")"
}

@test "sizes whose sum is more than there are numbers are shown and fetched" {
	serve "${MAILS[@]}" 'size 1 4611686018427387904' 'size 2 4611686018427387904' 'size 3 4611686018427387904'
	for options in -l -n '--progress always'; do
		read -ra OPTIONS <<<"$options"
		fetch
		assert_status 0
	done
	assert_equal "$(mails_here)" '1 2 3'
}

@test "blanks, tabs and +OK before rows change nothing" {
	serve "${MAILS[@]}" "session 1 on UIDL raw \"$(rows ' 1 uid-1' '\t2\t \tuid-2  ' '+OK 3 uid-3 ')\"" \
		"session 1 on LIST raw \"$(rows '+OK  1   25' ' +ok\t2\t25\t' '3 25 octets in it')\""
	fetch
	ends 1 0 '' "$LISTS RETR 1 RETR 2 RETR 3 QUIT" '1 2 3'
	fetch
	ends 2 0 '' "$LISTS QUIT" '1 2 3'
	fetch 'keep = "never"'
	ends 3 0 '' "$LISTS DELE 1 DELE 2 DELE 3 QUIT" '1 2 3'
}

@test "a row in the status line is text: its message waits until it is listed" {
	serve "${MAILS[@]}" "session 1 on UIDL raw \"+OK 1 uid-1\\r\\n2 uid-2\\r\\n3 uid-3\\r\\n.\\r\\n\""
	OPTIONS=(-v)
	fetch
	ends 1 0 'without a unique id, so not fetched: 1 message; LIST has number 1' "$LISTS RETR 2 RETR 3 QUIT" '2 3'
	OPTIONS=()
	fetch
	ends 2 0 '' "$LISTS RETR 1 QUIT" '1 2 3'
}

@test "rows that only UIDL has are fetched, rows that only LIST has wait, whatever STAT counts" {
	serve "${MAILS[@]}" 'on STAT send +OK 1 1' 'session 1 hide 1 LIST' 'session 1 hide 3 UIDL' \
		'session 2 hide 2 LIST' 'session 3 hide 1 UIDL'
	fetch
	ends 1 0 '' "$LISTS RETR 1 RETR 2 NOOP QUIT" '1 2'
	fetch
	ends 2 0 '' "$LISTS RETR 3 NOOP QUIT" '1 2 3'
	# The known one that UIDL does not have must not be deleted under a number that may be another's.
	fetch 'keep = "never"'
	ends 3 0 'without a unique id, so not fetched: 1 message' "$LISTS DELE 2 DELE 3 QUIT" '1 2 3'
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
	assert_equal "$(transcript_events 4 | sed -n 's/^deleted [0-9]* //p')" uid-1
}

@test "rows without anything, and an end mark with something behind it, are no listing" {
	serve "${MAILS[@]}" "session 2 on UIDL raw \"$(rows '1 uid-1' '' '2 uid-2')\"" \
		"session 3 on UIDL raw \"+OK\\r\\n1 uid-1\\r\\n. \\r\\n.\\r\\n\"" \
		"session 4 on LIST raw \"$(rows '1 25' ' ' '2 25')\""
	fetch
	fetch 'keep = "never"'
	ends 2 76 'unexpected reply to UIDL: ""' "$LISTS" '1 2 3'
	fetch 'keep = "never"'
	ends 3 76 'unexpected reply to UIDL: " "' "$LISTS" '1 2 3'
	fetch 'keep = "never"'
	ends 4 76 'unexpected reply to LIST: " "' "$LISTS" '1 2 3'
}

@test "an empty mailbox once, with and without anything in LIST, and then all back: nothing comes twice" {
	serve "${MAILS[@]}" 'session 2 hide 1' 'session 2 hide 2' 'session 2 hide 3' \
		"session 3 on UIDL raw \"+OK\\r\\n.\\r\\n\"" "session 4 on LIST raw \"+OK\\r\\n.\\r\\n\""
	fetch
	fetch
	ends 2 0 '' "$LISTS QUIT" '1 2 3'
	OPTIONS=(-v)
	fetch
	ends 3 0 'in LIST and not in UIDL, so left alone this time: 3' "$LISTS QUIT" '1 2 3'
	OPTIONS=()
	fetch
	assert_status 0
	fetch
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
	assert_equal "$(transcript_events 6 | grep -c '^deleted')" 3
}

@test "UIDL or LIST refused, announced or not, keeps what is known and fetches nothing unknown" {
	serve "${MAILS[@]}" 'session 2 on UIDL send -ERR what' 'session 3 on UIDL send -ERR what' \
		'session 3 capa -UIDL' 'session 4 on LIST send -ERR what' \
		'session 5 on UIDL send -ERR [SYS/TEMP] disk' 'session 5 capa -UIDL'
	fetch
	OPTIONS=(-v)
	fetch 'keep = "never"'
	ends 2 75 'the server refused UIDL: "what"' "$LISTS" '1 2 3'
	fetch
	ends 3 78 'the server gives no unique ids (UIDL): only keep = "never" works with it' "$LISTS QUIT" '1 2 3'
	fetch 'keep = "never"'
	ends 4 75 'the server refused LIST: "what"' "$LISTS" '1 2 3'
	fetch 'keep = "never"'
	ends 5 75 'the server refused UIDL: "[SYS/TEMP] disk"' "$LISTS" '1 2 3'
	OPTIONS=()
	fetch
	ends 6 0 '' "$LISTS QUIT" '1 2 3'
}

@test "a megabyte of junk behind a number ends the session, in either listing, and is not held" {
	{ printf '+OK\r\n1 ' && head -c 1000000 /dev/zero | tr '\0' x && printf '\r\n.\r\n'; } >junk
	{ printf '+OK\r\n' && for n in {1..200}; do printf '%d 25 %060000d\r\n' "$n" 0; done && printf '.\r\n'; } >much
	serve "${MAILS[@]}" "session 1 on UIDL content $HOME/junk; stall" "session 2 on LIST content $HOME/junk; stall" \
		"session 3 on LIST content $HOME/much"
	fetch
	ends 1 76 'the server sent a line of more than 65536 octets' "${LISTS% LIST}" ''
	fetch
	ends 2 76 'the server sent a line of more than 65536 octets' "$LISTS" ''
	# Below the bound words behind a size are passed over, however many they are.
	OPTIONS=(-v)
	fetch
	ends 3 0 'in LIST and not in UIDL, so left alone this time: 197' "$LISTS RETR 1 RETR 2 RETR 3 NOOP QUIT" '1 2 3'
}

# ---- NUL ----

@test "NUL in a body is mail, in a reply it is an octet, and in a row it is part of the id" {
	printf 'Subject: nul\n\na\0b\n\0\n.\0\n' >wanted
	serve 'message "Subject: nul\n\na\0b\n\0\n.\0\n"' "on UIDL raw \"$(rows '1 a\0b')\"" 'greeting "+OK \0 hello"' \
		'on USER send "+OK\0"' 'on PASS login; send "+OK \0"'
	fetch
	assert_status 0
	assert_equal "$(said 1)" "$LISTS RETR 1 QUIT"
	cmp Maildir/new/* wanted
	grep -q '^got .* a%00b$' "$STATE/box.uidl"
	fetch
	assert_equal "$(said 2)" "$LISTS QUIT"
	for line in 'on USER send "\0+OK"' 'on UIDL send "+\0OK"'; do
		forget
		serve 'messages 1' "$line"
		fetch
		assert_status 76
		assert_stderr_has '\x00'
	done
}
