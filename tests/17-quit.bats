#!/usr/bin/env bats
# A message that fails in every session, on a server that deletes at QUIT what it has sent:
# it holds back the deletions of the others for one session, not for ever.

load helper

# A command that refuses messages with "poison" in them while the file "refuses" is there.
write_picky() {
	cat >picky <<-'EOF'
		#!/bin/sh
		cat >"$HOME/arriving" || exit 75
		if [ -e "$HOME/refuses" ] && grep -q poison "$HOME/arriving"; then exit 1; fi
		cat "$HOME/arriving" >>"$HOME/arrived"
	EOF
	chmod 700 picky
	: >arrived
	touch refuses
}

arrived() {
	sed -n 's/^Subject: //p' arrived | paste -sd ' '
}

@test "deletions that waited for a QUIT are made in the next session, which fetches nothing" {
	write_picky
	start_fakepop -e 'capa +EXPIRE 0' -e delete-retrieved \
		-e 'message "Subject: one\n\nx\n"' -e 'message "Subject: two\n\npoison\n"' \
		-e 'message "Subject: three\n\nx\n"' -e 'session 2+ message "Subject: four\n\nx\n"'
	account home 'keep = "never"' "deliver = \"pipe:$HOME/picky\"" | write_config

	run --separate-stderr pophaul
	assert_status 1
	assert_stderr_has 'leaving without QUIT'
	assert_equal "$(arrived)" 'one three'
	assert_equal "$(transcript 1 | tail -n 1)" 'RETR 3'
	run grep -c '^fact unquit [1-9]' "$STATE/home.uidl"
	assert_equal "$output" 1

	# The state says so before anything is changed.
	run pophaul -n
	assert_status 0
	assert_output_has 'next session: this one deletes what waits'
	assert_equal "$(transcript 2 | grep -cE '^(RETR|DELE)')" 0

	run --separate-stderr pophaul -v
	assert_status 0
	assert_stderr_has 'this one deletes what waits, 2 messages left for the next'
	assert_equal "$(transcript 3 | grep -E '^(RETR|DELE|QUIT)' | paste -sd ' ')" \
		'DELE 1 DELE 3 QUIT'

	# The refused one is not lost, and nothing is delivered twice.
	rm refuses
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(arrived)" 'one three two four'
	assert_equal "$(transcript 4 | grep -E '^(RETR|DELE|QUIT)' | paste -sd ' ')" \
		'RETR 1 RETR 2 DELE 1 DELE 2 QUIT'
}

@test "without deletions that wait a failed message is tried again in the next session" {
	write_picky
	start_fakepop -e 'capa +EXPIRE 0' -e delete-retrieved \
		-e 'message "Subject: two\n\npoison\n"'
	account home 'keep = "never"' "deliver = \"pipe:$HOME/picky\"" | write_config
	run --separate-stderr pophaul
	assert_status 1
	rm refuses
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(arrived)" two
}
