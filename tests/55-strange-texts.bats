#!/usr/bin/env bats
# What a server says, as a terminal, a log and a program that reads the log see it; and what its
# response codes come to, on each command.

load helper

forget() {
	rm -rf "$STATE" "$HOME/Maildir"
}

# The commands of session N behind the connection, joined.
said() {
	transcript "$1" | paste -sd ' '
}

# ---- texts ----

# refute_controls FILE…: a terminal must get printable letters only, UTF-8 included: neither C0 nor C1
# controls, nor DEL. A file that begins with an object of JSON has one in each line.
refute_controls() {
	python3 - "$@" <<-'PYTHON'
		import json, sys
		for name in sys.argv[1:]:
		    data = open(name, "rb").read()
		    # In UTF-8 0x80 to 0x9f are C1 as code points, and as octets only parts of letters.
		    text = data.decode("utf-8", "surrogateescape")
		    bad = [c for c in text if c < " " and c != "\n" or "\x7f" <= c <= "\x9f" or "\udc80" <= c <= "\udcff"]
		    if bad:
		        sys.exit("%d octets of %s are no text: %r" % (len(bad), name, text))
		    if text.startswith("{"):
		        for line in text.splitlines():
		            json.loads(line)
	PYTHON
}

# shown_harmless LINE…: a server of these lines, in every way in which its texts come out.
shown_harmless() {
	local options

	: >all
	for options in '-vv --log-format json' -lv '-v --progress always'; do
		forget
		serve "$@"
		account box 'auth = "USER"' 'keep = "never"' 'timeout = "1s"' | write_config
		# shellcheck disable=SC2086
		pophaul $options >out 2>err || [ $? -ne 70 ] || fail "$(cat err)"
		stop_servers
		# The progress line returns to its beginning and clears the rest of it: our own two controls.
		[[ $options != *progress* ]] || sed -i -e 's/\x1b\[K//g' -e 's/\r//g' err out
		refute_controls out err || fail "$options: $*"
		cat out err >>all
	done
	grep -q owned all || fail "never shown: $*"
}

# Title, bell, C1, DEL, carriage return, backspace, half a letter of UTF-8, NUL, and a letter to find it by.
EVIL='\x1b]0;owned\x07\x9b31m\x7f\r\x08\xc3\x00\xc2\x85'

@test "no control octet reaches a terminal or a log from greetings, refusals and odd replies" {
	shown_harmless "greeting \"-ERR $EVIL\""
	shown_harmless "greeting \"$EVIL\""
	for verb in CAPA USER PASS UIDL LIST RETR DELE QUIT; do
		shown_harmless 'messages 1' "on $verb send \"-ERR $EVIL\""
		shown_harmless 'messages 1' "on $verb send \"+OK $EVIL\"; drop"
	done
}

@test "no control octet reaches a terminal or a log from rows, ids, capabilities and unasked words" {
	shown_harmless 'messages 1' "on UIDL raw \"+OK\\r\\n$EVIL\\r\\n.\\r\\n\""
	shown_harmless 'messages 1' "on LIST raw \"+OK\\r\\n$EVIL\\r\\n.\\r\\n\""
	shown_harmless 'messages 1' "on UIDL raw \"+OK\\r\\n1 $EVIL\\r\\n.\\r\\n\""
	shown_harmless 'messages 1' "capa \"+IMPLEMENTATION $EVIL\"" "capa \"+EXPIRE $EVIL\"" "capa \"+$EVIL\"" \
		"capa \"+LOGIN-DELAY $EVIL\"" "capa \"+SASL $EVIL\""
	shown_harmless 'messages 1' "on RETR raw \"$EVIL\\r\\n\"; drop"
	shown_harmless 'messages 1' "on RETR normal; send \"-ERR $EVIL\"; drop"
	shown_harmless 'messages 1' "on QUIT send \"$EVIL\""
	shown_harmless "message \"From: $EVIL\\nSubject: owned $EVIL\\nDate: $EVIL\\n\\nx\\n\""
}

@test "no control octet reaches a terminal from mechanisms, challenges, STLS and UTF8" {
	shown() {
		for options in -v "-vv --log-format json"; do
			forget
			account box "$@" | write_config
			# shellcheck disable=SC2086
			pophaul $options >out 2>err && fail 'should not have worked'
			refute_controls out err
		done
		grep -qi owned err
		stop_servers
	}
	start_fakepop -e "capa \"SASL X$EVIL\"" -e 'capa UIDL'
	shown
	serve "on AUTH send \"+ $EVIL\"; read; send \"-ERR $EVIL\""
	shown 'auth = "LOGIN"'
	serve "on AUTH send \"-ERR $EVIL\""
	shown 'auth = "LOGIN"'
	serve 'capa +UTF8' "on UTF8 send \"-ERR $EVIL\"" 'on PASS send "-ERR owned"'
	shown 'auth = "USER"'
	start_fakepop --stls -e "on STLS send \"-ERR $EVIL\""
	shown
	start_fakepop --stls -e "on STLS send \"$EVIL\""
	shown
}

@test "no control octet reaches a terminal from the names in a certificate" {
	make_certs
	printf 'cn = "owned\033]0;x\007"\norganization = "\033[2J"\n' >names
	make_cert "$HOME/evil" "$CERT_DIR/ca" "$(printf 'dns_name = "owned\033[31m.example.org"')" \
		"$(printf 'organization = "owned\033]0;x\007"')"
	start_fakepop --tls "$HOME/evil.pem" "$HOME/evil.key" -e 'messages 1'
	for options in -v "-vv --log-format json"; do
		account box | write_config
		# shellcheck disable=SC2086
		run -76 pophaul $options
		printf '%s\n' "$output" >out
		refute_controls out
		assert_output_has certificate
	done
}

@test "texts are shown up to a bound, in every place" {
	long=$(printf 'owned%.0s' {1..6000})
	for script in "greeting -ERR $long" "on USER send -ERR $long" "on PASS send -ERR $long" "on UIDL send -ERR $long" \
		"on LIST send $long" "on RETR send -ERR $long" "on DELE send -ERR $long" "on QUIT send -ERR $long" \
		"uidl 1 ${long:0:4000}" "capa \"SASL $long\"" "capa \"IMPLEMENTATION $long\""; do
		serve 'messages 1' "$script"
		for options in -v -l -vv '-vv --log-format json'; do
			forget
			account box 'auth = "USER"' 'keep = "never"' | write_config
			# shellcheck disable=SC2086
			pophaul $options >out 2>err || [ $? -ne 70 ]
			[ "$(cat out err | wc -L)" -lt 3000 ] || fail "$script: $(wc -L out err)"
		done
		stop_servers
	done
}

@test "in a locale of several octets a letter, texts that are no letters at all end" {
	for locale in C.UTF-8 C POSIX en_US.UTF-8 ja_JP.EUC-JP; do
		forget
		serve "message \"From: \\xff\\xfe\\xc3\\nSubject: owned \\xe3\\x81\\n\\nx\\n\"" \
			"uidl 1 \"\\xe3\\x81\\xff\"" "on DELE send \"-ERR owned $(printf '\\xe3\\x81%.0s' {1..900})\""
		account box 'auth = "USER"' 'keep = "never"' | write_config
		LC_ALL=$locale run --separate-stderr pophaul -vv
		assert_status 1
		assert_stderr_has 'owned \xe3\x81'
		LC_ALL=$locale run --separate-stderr pophaul -lv
		assert_status 0
		assert_output_has owned
		stop_servers
	done
}

@test "lines of many kilobytes in the wire log are cut, and what is in them is no format" {
	serve 'message "Subject: 1\n\ntext of 1\n"' "on PASS login; send +OK $(printf '%05000d' 0)" \
		"on RETR raw \"+OK $(printf '%%s%%n%.0s' {1..2000})\\r\\nSubject: 1\\r\\n\\r\\ntext of 1\\r\\n.\\r\\n\"" \
		"uidl 1 $(printf '%%n%.0s' {1..1500})"
	account box 'auth = "USER"' 'keep = "never"' | write_config
	run --separate-stderr pophaul -vv
	assert_status 0
	assert_stderr_has '< +OK %s%n%s%n'
	assert_stderr_has '< +OK 0000'
	assert_equal "$(said 1)" 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 DELE 1 QUIT'
	assert_equal "$(cat Maildir/new/*)" $'Subject: 1\n\ntext of 1'
	[ "$(wc -L <<<"$stderr")" -lt 3000 ]
}

# ---- response codes ----

# comes_to STATUS quiet|loud SAID LINE…: how a poll of a server of these lines ends: status, whether a
# person is told without -v, all that the client said, and that nothing was deleted.
comes_to() {
	local wanted=$1 noise=$2 said=$3

	shift 3
	forget
	serve "$@"
	account box "${ACCOUNT[@]}" 'timeout = "2s"' | write_config
	run --separate-stderr pophaul
	[ "$status" -eq "$wanted" ] || fail "$*" "wanted $wanted, got $status: $stderr"
	if [ "$noise" = quiet ]; then
		[ -z "$output$stderr" ] || fail "$*" "not quiet: $output$stderr"
	else
		[[ $stderr == "pophaul: box: "*"$TOLD"* ]] || fail "$*" "lacks $TOLD: $stderr"
	fi
	assert_equal "$(said 1)" "$said"
	assert_equal "$(count_sessions)" 1
	run ! grep -q '^1\* deleted' "$TRANSCRIPT"
	stop_servers
}

LOGIN='CAPA USER jane PASS secret'
LISTS="$LOGIN CAPA UIDL LIST"

@test "each code means the same on each command of a session (pop3 rules 24, 29, 30, 31, 32, 34)" {
	local code result other retr noise

	# AUTH says something of a login only where one was asked for.
	while read -r code result other retr noise; do
		TOLD="[$code] now"
		ACCOUNT=('auth = "USER"')
		comes_to "${other%/*}" "${other#*/}" '' "greeting -ERR [$code] now"
		comes_to "$result" "$noise" 'CAPA USER jane' "on USER send -ERR [$code] now"
		comes_to "$result" "$noise" "$LOGIN" "on PASS send -ERR [$code] now"
		comes_to "${other%/*}" "${other#*/}" "$LISTS" "on UIDL send -ERR [$code] now"
		comes_to "${other%/*}" "${other#*/}" "$LISTS" "on LIST send -ERR [$code] now"
		comes_to "$retr" loud "$LISTS RETR 1 RETR 2 RETR 3 QUIT" 'messages 3' "on RETR send -ERR [$code] now"
		comes_to 1 loud "$LISTS RETR 1 RETR 2 RETR 3 QUIT" 'messages 3' "on RETR 2 send -ERR [$code] now"
		ACCOUNT=('auth = "LOGIN"')
		comes_to "$result" "$noise" 'CAPA AUTH LOGIN amFuZQ== c2VjcmV0' \
			"on AUTH send + VXNlcm5hbWU6; read; send + UGFzc3dvcmQ6; read; send -ERR [$code] now"
		ACCOUNT=('auth = "USER"' 'keep = "never"')
		comes_to "${other%/*}" "${other#*/}" "$LISTS RETR 1 DELE 1 QUIT" 'messages 1' "on QUIT send -ERR [$code] now"
		comes_to 1 loud "$LISTS RETR 1 DELE 1 QUIT" 'messages 1' "on DELE send -ERR [$code] now"
	done <<-'CODES'
		IN-USE 75 75/quiet 75 quiet
		LOGIN-DELAY 75 75/quiet 75 quiet
		SYS/TEMP 75 75/quiet 75 quiet
		SYS/PERM 69 69/loud 69 loud
		AUTH 77 75/quiet 76 loud
		REFERRAL/joe@other.example.org 69 69/loud 69 loud
	CODES
}

@test "codes on CAPA, UTF8 and STLS: what can be done without is done without" {
	for code in IN-USE SYS/TEMP SYS/PERM AUTH ODD; do
		ACCOUNT=('auth = "USER"')
		comes_to 0 quiet "$LISTS RETR 1 QUIT" 'messages 1' "on CAPA send -ERR [$code] now"
		comes_to 0 quiet "CAPA UTF8 ${LISTS#CAPA } RETR 1 QUIT" 'messages 1' 'capa +UTF8' "on UTF8 send -ERR [$code] now"
	done
	for code in SYS/TEMP:75 SYS/PERM:69 ODD:76; do
		forget
		start_fakepop --stls -e "on STLS send -ERR [${code%:*}] now"
		account box | write_config
		run --separate-stderr pophaul -v
		assert_status "${code#*:}"
		assert_stderr_has "the server refused STLS: \"[${code%:*}] now\""
		assert_equal "$(said 1)" 'CAPA STLS'
	done
}

@test "branches, brackets within brackets, and brackets that do not close (pop3 rule 24)" {
	local text result noise

	ACCOUNT=('auth = "USER"')
	# Where AUTH-RESP-CODE is announced a refusal that has no code is the server's trouble, 75.
	while IFS='|' read -r text result noise; do
		TOLD=''
		comes_to "$result" "$noise" "$LOGIN" "on PASS send \"-ERR $text\""
	done <<-'TEXTS'
		[SYS/PERM/DISK/7] x|69|loud
		[sys/perm]x|69|loud
		[SYS/PERM anything] x|69|loud
		[SYS/PERMANENT] x|75|quiet
		[SYS] x|75|quiet
		[SYS/] x|75|quiet
		[AUTH/EXPIRED] x|77|loud
		[AUTHORITY] x|75|quiet
		[[SYS/PERM]] x|75|quiet
		[SYS/PERM x|75|quiet
		[ SYS/PERM] x|75|quiet
		[] [SYS/PERM] x|75|quiet
		[|75|quiet
		x [SYS/PERM]|75|quiet
		[IN-USE][SYS/PERM] x|75|quiet
		[SYS/PERM][IN-USE] x|69|loud
		[SYS/PERM\0] x|75|quiet
		[SYS\0/PERM] x|75|quiet
		[ODD/CODE] x|75|quiet
	TEXTS
	# Without it, one is a refused password.
	comes_to 77 loud "$LOGIN" 'capa -AUTH-RESP-CODE' 'on PASS send -ERR [ODD/CODE] x'
	comes_to 77 loud "$LOGIN" 'capa -AUTH-RESP-CODE' 'on PASS send -ERR [[IN-USE]] x'
	comes_to 75 quiet "$LOGIN" 'capa -AUTH-RESP-CODE' 'on PASS send -ERR [IN-USE/BY/YOU] x'
}

@test "troubles of the server, however many in a row, do not count as refused logins; refusals do, over runs" {
	serve 'messages 1' 'times 5 on PASS send -ERR [IN-USE] later' 'times 2 on PASS send -ERR [AUTH] no' \
		'once on PASS send -ERR [SYS/TEMP] later' 'once on PASS send -ERR [AUTH] no'
	account box 'auth = "USER"' | write_config
	for wanted in 75 75 75 75 75 77 77 75 77; do
		run --separate-stderr pophaul
		assert_status "$wanted"
	done
	assert_equal "$(count_sessions)" 9
	run --separate-stderr pophaul -v
	assert_status 75
	assert_stderr_has 'the login was refused 3 times in a row: not tried for another'
	assert_equal "$(count_sessions)" 9
	later +1d run --separate-stderr pophaul
	assert_status 0
	run grep -c '^fact failures 0 ' "$STATE/box.uidl"
	assert_equal "$output" 1
	assert_equal "$(count_files Maildir/new)" 1
}

@test "EXPIRE 0 with a message that was not kept ends without QUIT, a refused or oversized one does not (pop3 rule 27)" {
	printf '#!/bin/sh\ncat >msg\n! grep -q poison msg\n' >picky
	chmod +x picky
	serve 'capa +EXPIRE 0' delete-retrieved 'message "Subject: a\n\nx\n"' 'message "Subject: b\n\npoison\n"' \
		'message "Subject: c\n\nx\n"' 'session 2+ on RETR 2 send -ERR not now'
	account box 'auth = "USER"' "deliver = \"pipe:$HOME/picky\"" | write_config
	run --separate-stderr pophaul
	assert_status 1
	assert_stderr_has 'leaving without QUIT'
	assert_equal "$(said 1)" "$LISTS RETR 1 RETR 2 RETR 3"
	# What is not handed out is not marked as retrieved: nothing is at stake.
	run --separate-stderr pophaul
	assert_status 1
	assert_stderr_has 'message 2 (uid-2): the server refuses it: "not now"'
	assert_equal "$(said 2)" "$LISTS RETR 2 QUIT"
	run ! grep -q '^[12]\* deleted' "$TRANSCRIPT"
}
