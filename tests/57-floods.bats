#!/usr/bin/env bats
# No server fills memory or the disk: lines, lists and messages without end, replies that nobody asked for, more than
# can be delivered. Both processes stay small, and what is cut leaves nothing behind.

load helper

# use LINE…: the account "home" for the server started last.
use() {
	account home 'timeout = 20s' "$@" | write_config
}

poll() {
	run --separate-stderr pophaul
}

measured() {
	run --separate-stderr pophaul_measured "$@"
}

mail() {
	find Maildir/new Maildir/cur -type f | wc -l
}

@test "a message without an end is cut, leaves nothing on the disk, and the others come" {
	local dest

	for dest in maildir:~/Maildir mbox:~/mbox pipe:"sh -c 'cat >>piped'"; do
		rm -rf "$STATE" Maildir mbox piped
		start_fakepop -e 'messages 3' -e 'once on RETR 2 raw "+OK\r\nSubject: x\r\n"; flood 0 "on and on\r\n"'
		use "deliver = \"$dest\"" 'keep = never'
		measured
		assert_status 76
		assert_stderr_has 'home: in the middle of message 2: it does not end: 268'
		assert_stderr_has ' octets have come, and LIST has 1000 octets for it'
		assert_memory_below 64
		leaves_nothing_behind
		run find . -size +1M
		assert_output_is ''
		poll
		assert_status 0
		assert_equal "$(cat mbox piped Maildir/new/* 2>/dev/null | grep -c '^Subject: Generated')" 3
	done
}

@test "without a size in LIST that makes sense a message may have a gigabyte, and no more" {
	start_fakepop -e 'messages 2' -e 'size 1 99999999999999999' -e 'size 2 -5' \
		-e 'on RETR 1 raw "+OK\r\n"; flood 1073741820 x; raw "\r\n.\r\n"' -e 'on RETR 2 raw "+OK\r\n"; flood 0 x'
	use "deliver = \"pipe:sh -c 'wc -c >>sizes'\""
	measured
	assert_status 76
	assert_equal "$(cat sizes)" 1073741821
	assert_stderr_has 'in the middle of message 2: it does not end: 107'
	assert_stderr_has 'and LIST has no size for it'
	assert_memory_below 64
	leaves_nothing_behind
}

@test "max-size goes by what LIST says: a message that is bigger than it was listed is delivered" {
	start_fakepop -e 'messages 1 5000' -e 'size 1 100'
	use 'max-size = 1K'
	poll
	assert_status 0
	assert_equal "$(mail)" 1
}

@test "a line without an end is refused wherever it comes, in little memory" {
	local row where script

	for row in \
		'greeting|raw +OK; flood 0 x' \
		'reply to CAPA|once on CAPA normal|on CAPA raw "+OK\r\n"; flood 0 x' \
		'AUTH|on AUTH flood 0 "+ "' \
		'reply to UIDL|on UIDL raw "+OK\r\n1 "; flood 0 x' \
		'reply to LIST|on LIST raw "+OK\r\n1 "; flood 0 1' \
		'home|on RETR 2 raw +OK; flood 0 x' \
		'home|on DELE raw -ERR; flood 0 x' \
		'reply to QUIT|on QUIT raw +OK; flood 0 x'; do
		where=${row%%|*} script=${row#*|}
		echo "$row"
		rm -rf Maildir "$STATE"
		start_fakepop -e 'messages 3' -e "${script%%|*}" -e "${script##*|}"
		use 'keep = never'
		measured
		assert_status 76
		assert_stderr_has "$where"
		assert_stderr_has 'the server sent a line of more than 65536 octets'
		assert_memory_below 64
		leaves_nothing_behind
	done
}

@test "lists, challenges and headers without an end are refused, in little memory" {
	local row what script

	for row in \
		'the reply to CAPA has more than 1000 lines|once on CAPA normal|on CAPA raw "+OK\r\n"; flood 0 "X-Y\r\n"' \
		'unexpected reply to the connection: "x"|raw "x\r\n"; flood 0 "x\r\n"' \
		'home: CRAM-MD5: |on AUTH flood 0 "+ PDE+\r\n"' \
		'unexpected reply to USER|capa -SASL|on USER flood 0 "hello\r\n"'; do
		what=${row%%|*} script=${row#*|}
		echo "$row"
		start_fakepop -e 'messages 3' -e "${script%%|*}" -e "${script##*|}"
		use
		measured
		assert_memory_below 64
		[ "$status" -ne 0 ]
		assert_stderr_has "$what"
		leaves_nothing_behind
	done
	start_fakepop -e 'messages 3 10' -e 'on TOP 2 raw "+OK\r\n"; flood 0 "X: y\r\n"'
	use
	measured --list -v
	assert_status 76
	assert_stderr_has 'in the middle of message 2: it does not end: 268'
	assert_memory_below 64
}

# The messages that are here, by the numbers of generated ones.
here() {
	find Maildir/new -type f -exec sed -n 's/^Subject: Generated message //p' {} + | sort -n | paste -sd ' '
}

# What the server has deleted so far is here.
nothing_is_deleted_before_it_is_here() {
	local n

	for n in $(sed -n 's/^[0-9]*\* deleted [0-9]* uid-//p' "$TRANSCRIPT"); do
		[[ " $(here) " == *" $n "* ]] || fail "message $n is deleted, and not here: $(here)"
	done
}

# NOOP is sent only while a command works: 54-refusals has it.
@test "replies that run ahead of the commands, without end, are not heard for long, and nothing is lost" {
	local row script wanted capa

	for row in \
		'76|on RETR 2 normal; flood 0 "+OK\r\n"' \
		'76|on DELE flood 0 "+OK\r\n"' \
		'76|on UIDL normal; flood 0 "+OK\r\n"' \
		'69|on RETR 1 flood 0 "-ERR no\r\n"' \
		'0|on QUIT flood 0 "+OK\r\n"' \
		'76|on PASS flood 0 "+OK\r\n"'; do
		wanted=${row%%|*} script=${row#*|}
		for capa in -SASL -PIPELINING; do
			echo "$script $capa"
			rm -rf Maildir "$STATE"
			start_fakepop -e 'messages 3' -e "capa $capa" -e 'capa -SASL' -e "session 1 $script"
			use 'keep = never'
			measured
			assert_status "$wanted"
			assert_memory_below 64
			leaves_nothing_behind
			nothing_is_deleted_before_it_is_here
			poll
			assert_equal "$status $stderr" '0 '
			assert_equal "$(here)" '1 2 3'
			assert_equal "$(grep -c '^[0-9]*\* deleted' "$TRANSCRIPT")" 3
			poll
			assert_status 0
			assert_equal "$(transcript 3 | grep -c RETR)" 0
			assert_equal "$(here)" '1 2 3'
		done
	done
}

@test "300 MB in one line, faster than they can be delivered, go through in little memory" {
	local dest

	for dest in maildir:~/Maildir mbox:~/mbox pipe:"sh -c 'cat >piped; sync piped'"; do
		rm -rf "$STATE" Maildir mbox piped
		start_fakepop -e 'messages 2' -e 'size 1 300000000' \
			-e 'on RETR 1 raw "+OK\r\n"; flood 299999998 x; raw "\r\n.\r\n"'
		use "deliver = \"$dest\"" 'max-messages = 1'
		measured
		assert_status 0
		assert_memory_below 64
		assert_equal "$(cat mbox piped Maildir/new/* 2>/dev/null | tr -cd x | wc -c)" 299999998
	done
}
