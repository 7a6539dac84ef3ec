#!/usr/bin/env bats
# What one command, one run or one state folder leaves behind must not cost another message.

load helper

@test "a process that a command leaves behind, reading its input, gets nothing of the next messages" {
	start_fakepop -e 'messages 4 40000'
	cat >taker <<-'EOF'
		#!/bin/sh
		# The first command leaves a reader of its standard input behind.
		if mkdir first 2>/dev/null; then
			exec 9<&0
			setsid sh -c 'exec </dev/null >/dev/null 2>&1; touch ready; until [ -e go ]; do sleep 0.05; done; cat <&9 >stolen; touch stolen.done' &
			until [ -e ready ]; do sleep 0.01; done
			exit 0
		fi
		touch go
		until [ -e stolen.done ]; do sleep 0.01; done
		cat >>arrived
	EOF
	chmod 700 taker
	account home "deliver = \"pipe:$HOME/taker\"" 'keep = "never"' | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(grep -c '^Subject: ' arrived)" 3
	assert_equal "$(grep -c '^Subject: ' stolen)" 1
}
