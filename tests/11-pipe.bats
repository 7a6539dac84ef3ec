#!/usr/bin/env bats
# Messages as the standard input of commands: procmail, maildrop, Dovecot's LDA, and commands
# that fail, hang, flood or do odd things with what they are given.

load helper

# A command that takes longer than the server's patience could be. It runs beside all tests; the last one looks at it.
setup_file() {
	export BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
	default_setup
	export SLOW=$HOME
	start_fakepop -e 'messages 2'
	export SLOW_TRANSCRIPT=$TRANSCRIPT
	cat >until-noop <<-'EOF'
		#!/bin/sh
		cat >>taken
		for i in $(seq 2000); do
			grep -q '^1> NOOP' "$1" && exit 0
			[ -e "$HOME/stop" ] && break
			sleep 0.02
		done
		exit 75
	EOF
	chmod 700 until-noop
	account slow "deliver = \"pipe:$HOME/until-noop $TRANSCRIPT\"" 'keep = "never"' | write_config
	{
		pophaul
		echo $? >status
	} </dev/null >out 2>&1 3>&- &
	SLOW_PID=$!
}

teardown_file() {
	: >"$SLOW/stop"
	wait "$SLOW_PID"
	stop_servers
}

# command_file NAME <<EOF: a shell script, HOME/NAME.
command_file() {
	{ echo '#!/bin/sh' && cat; } >"$HOME/$1"
	chmod 700 "$HOME/$1"
}

# A command that keeps its standard input as a file of its own.
make_taker() {
	mkdir -p "$HOME/taken"
	command_file take <<-'EOF'
		file=$(mktemp "$HOME/taken/XXXXXXXXXXXX") && exec cat >"$file"
	EOF
}

# One that adds a line with all its arguments in brackets to HOME/arguments.
make_teller() {
	command_file tell <<-'EOF'
		printf '[%s]' "$@" >>"$HOME/arguments"
		echo >>"$HOME/arguments"
	EOF
}

taken_digests() {
	find "$HOME/taken" -type f -exec sha256sum {} + | cut -d ' ' -f 1 | sort
}

is_gone() {
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.*zombie' "/proc/$1/status" 2>/dev/null
}

# What a command that is started from here on leaves behind must not outlive the test.
teardown() {
	local pid

	for pid in $(cat "$HOME"/*.pid 2>/dev/null); do
		kill -9 "$pid" 2>/dev/null || :
	done
	default_teardown
}

@test "a command's words are split and quoted as in a shell, and none is run" {
	make_teller
	start_fakepop -e 'messages 1'
	account a "deliver = 'pipe:$HOME/tell  one \"two words\" \\'\$HOME \`id\`\\' th\\\\ ree \"\" ; >x | * # end'" |
		write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(cat arguments)" '[one][two words][$HOME `id`][th ree][][;][>x][|][*][#][end]'
	[ ! -e x ]
}

@test "what replaces a placeholder stays one word, whatever is in it" {
	make_teller
	start_fakepop -e any-user -e 'message "Return-Path: <jane.doe+tag=x@mail.example.org>\n\n"'
	account a.b-c 'user = "joe user; touch x $(touch x) '"'"'*"' \
		"deliver = \"pipe:$HOME/tell %a %u %h %s %% x%ax%%a%s %a%u\"" | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(cat arguments)" "[a.b-c][joe user; touch x \$(touch x) '*][127.0.0.1]\
[jane.doe+tag=x@mail.example.org][%][xa.b-cx%ajane.doe+tag=x@mail.example.org]\
[a.b-cjoe user; touch x \$(touch x) '*]"
	[ ! -e x ]
}

@test "a sender that could be an option, a path or more than one word becomes MAILER-DAEMON" {
	make_teller
	start_fakepop - <<-'EOF'
		message "Return-Path: <-oops@example.org>\n\n"
		message "Return-Path: <--help>\n\n"
		message "Return-Path: <\"a b\"@example.org>\n\n"
		message "Return-Path: <a'b@example.org>\n\n"
		message "Return-Path: <a`id`@example.org>\n\n"
		message "Return-Path: <a$(id)@example.org>\n\n"
		message "Return-Path: <a;id@example.org>\n\n"
		message "Return-Path: <../../etc/passwd>\n\n"
		message "Return-Path: <a%s@example.org>\n\n"
		message "Return-Path: <a\xc3\xa4@example.org>\n\n"
		message "Return-Path: <a\x00b@example.org>\n\n"
		message "Return-Path: <>\n\n"
		message "Subject: none\n\nReturn-Path: <body@example.org>\n"
		message "Return-Path:\n <folded@example.org>\n\n"
		message "return-path : <LOWER@EXAMPLE.ORG>\n\n"
		message "Return-Path: <first@example.org>\nReturn-Path: <second@example.org>\n\n"
		message "X: y\nReturn-Path: <later@example.org>\n\n"
	EOF
	account a "deliver = \"pipe:$HOME/tell -f %s\"" | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(head -n 13 arguments | sort | uniq -c | tr -s ' ')" ' 13 [-f][MAILER-DAEMON]'
	assert_equal "$(tail -n +14 arguments)" '[-f][folded@example.org]
[-f][LOWER@EXAMPLE.ORG]
[-f][first@example.org]
[-f][later@example.org]'
	rm -r "$STATE" arguments
	start_fakepop -e "message \"Return-Path: <$(head -c 245 /dev/zero | tr '\0' a)@long.org>\\n\\n\"" \
		-e "message \"Return-Path: <$(head -c 300 /dev/zero | tr '\0' a)@too-long.org>\\n\\n\""
	account a "deliver = \"pipe:$HOME/tell %s\"" | write_config
	pophaul
	assert_equal "$(cut -c 240- arguments | head -n 1)" 'aaaaaaa@long.org]'
	assert_equal "$(tail -n 1 arguments)" '[MAILER-DAEMON]'
}

@test "a command that fails keeps its message on the server, and the others go on" {
	command_file by-subject <<-'EOF'
		echo "to standard output"
		echo "to standard error" >&2
		eval "$(sed -n 's/^Subject: //p')"
	EOF
	start_fakepop - <<-'EOF'
		message "Subject: exit 0\n\n"
		message "Subject: exit 75\n\n"
		message "Subject: exit 1\n\n"
		message "Subject: exit 67\n\n"
		message "Subject: kill -9 $$\n\n"
		message "Subject: kill -15 $$\n\n"
		message "Subject: exit 255\n\n"
		message "Subject: exit 0\n\n"
	EOF
	account a "deliver = \"pipe:$HOME/by-subject\"" 'keep = "never"' | write_config
	run --separate-stderr pophaul --log-format json
	assert_status 1
	assert_output_matches '"result":"ok","status":1,"fetched":2,.*"deleted":2,"left":6,"skipped":0,"failed":6'
	assert_equal "$(transcript_events | grep deleted)" $'deleted 1 uid-1\ndeleted 8 uid-8'
	run --separate-stderr pophaul
	assert_status 1
	assert_equal "$(transcript 2 | grep -c RETR)" 6
	assert_equal "$stderr" \
		"pophaul: a: message 1 (uid-2): command '$HOME/by-subject' exited with status 75: to standard output\\nto standard error
pophaul: a: message 2 (uid-3): command '$HOME/by-subject' exited with status 1: to standard output\\nto standard error
pophaul: a: message 3 (uid-4): command '$HOME/by-subject' exited with status 67: to standard output\\nto standard error
pophaul: a: message 4 (uid-5): command '$HOME/by-subject' was killed by signal 9 (Killed): to standard output\\nto standard error
pophaul: a: message 5 (uid-6): command '$HOME/by-subject' was killed by signal 15 (Terminated): to standard output\\nto standard error
pophaul: a: message 6 (uid-7): command '$HOME/by-subject' exited with status 255: to standard output\\nto standard error"
	# Mended, it gets them all.
	make_taker
	mv take by-subject
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$stderr" ''
	[ "$(count_files taken)" -eq 6 ]
	assert_equal "$(transcript_events 3 | grep -c deleted)" 6
}

@test "a command that cannot work at all ends the account with status 78 at the first message" {
	local command

	start_fakepop -e 'messages 30'
	: >not-executable
	command_file configless <<-'EOF'
		echo "no such setting" >&2
		exit 78
	EOF
	command_file no-interpreter </dev/null
	echo '#!/nonexistent/sh' >no-interpreter
	for command in "$HOME/nowhere" no-such-command-anywhere "$HOME/not-executable" "$HOME" \
		"$HOME/no-interpreter" "$HOME/configless"; do
		account a "deliver = \"pipe:$command x\"" 'keep = "never"' | write_config
		# Folders of PATH that may not be searched would make a 126 of it.
		PATH=/usr/bin:/bin run --separate-stderr pophaul -q
		assert_status 78
		assert_equal "$(wc -l <<<"$stderr")" 1
		assert_stderr_has "pophaul: a: command '$command' exited with status "
		case $command in
		*/configless) assert_stderr_has 'status 78: no such setting' ;;
		*nowhere | no-such*) assert_stderr_has "status 127: pophaul: cannot run '$command': No such file" ;;
		*/no-interpreter) assert_stderr_has "cannot run '$command': No such file" ;;
		*) assert_stderr_has "status 126: pophaul: cannot run '$command': Permission denied" ;;
		esac
	done
	[ "$(transcript 1 | grep -c RETR)" -le 16 ]
	assert_equal "$(grep -c '> DELE' "$TRANSCRIPT")" 0
	make_taker
	account a "deliver = \"pipe:$HOME/take\"" 'keep = "never"' | write_config
	pophaul
	[ "$(count_files taken)" -eq 30 ]
}

@test "output of a command is shown only when it fails, made harmless, and only its beginning" {
	command_file flood <<-'EOF'
		subject=$(sed -n 's/^Subject: //p')
		printf '\033[31mred\007 \303\244 \\ "%s"\r\n\n' "$subject" >&2
		head -c 3000000 /dev/zero | tr '\0' x >&2
		exit "$subject"
	EOF
	start_fakepop -e 'message "Subject: 0\n\n"' -e 'message "Subject: 1\n\n"'
	account a "deliver = \"pipe:$HOME/flood\"" | write_config
	run --separate-stderr pophaul
	assert_status 1
	assert_equal "$(wc -l <<<"$stderr")" 1
	assert_stderr_has "exited with status 1: \\x1b[31mred\\x07 \\xc3\\xa4 \\\\ \"1\"\\r\\n\\nxxx"
	[[ $stderr == *... ]]
	[ "${#stderr}" -lt 500 ]
}

@test "a command that takes too long is killed with all its children, and the next message comes" {
	command_file hang <<-'EOF'
		subject=$(sed -n 's/^Subject: //p')
		[ "$subject" = fine ] && echo fine >>"$HOME/fine" && exit 0
		[ "$subject" = stubborn ] && trap '' TERM
		(trap '' TERM; sleep 1000 & echo $! >"$HOME/$subject-grandchild.pid"; wait) &
		echo $! >"$HOME/$subject-child.pid"
		echo $$ >"$HOME/$subject.pid"
		while :; do wait; done
	EOF
	start_fakepop -e 'message "Subject: hang\n\n"' -e 'message "Subject: stubborn\n\n"' \
		-e 'message "Subject: fine\n\n"'
	account a "deliver = \"pipe:$HOME/hang\"" 'pipe-timeout = "1s"' 'keep = "never"' | write_config
	run --separate-stderr pophaul
	assert_status 1
	assert_equal "$stderr" "pophaul: a: message 1 (uid-1): command '$HOME/hang' was killed: it took longer than 1 s
pophaul: a: message 2 (uid-2): command '$HOME/hang' was killed: it took longer than 1 s"
	assert_equal "$(cat fine)" fine
	[ "$(cat ./*.pid | wc -l)" -eq 6 ]
	for pid in $(cat ./*.pid); do
		wait_until 5 is_gone "$pid"
	done
	assert_equal "$(transcript_events | grep deleted)" 'deleted 3 uid-3'
}

@test "a command that never stops talking is killed in time as well" {
	start_fakepop -e 'messages 1'
	command_file chorus <<-'EOF'
		for i in 1 2 3 4 5 6 7 8; do yes & done
		wait
	EOF
	account a "deliver = \"pipe:$HOME/chorus\"" 'pipe-timeout = "1s"' | write_config
	POPHAUL_LIMIT=20 run --separate-stderr pophaul
	assert_status 1
	assert_stderr_has "command '$HOME/chorus' was killed: it took longer than 1 s"
}

@test "a child that a command leaves behind is not waited for, be it silent or not" {
	command_file leave <<-'EOF'
		sleep 1000 &
		echo $! >>"$HOME/left.pid"
		yes &
		echo $! >>"$HOME/left.pid"
		exec cat >>"$HOME/taken"
	EOF
	start_fakepop -e 'messages 2'
	account a "deliver = \"pipe:$HOME/leave\"" | write_config
	POPHAUL_LIMIT=20 run --separate-stderr pophaul
	assert_status 0
	assert_equal "$stderr" ''
	[ "$(stat -c %s taken)" -gt 1900 ]
	kill -0 "$(head -n 1 left.pid)"
}

@test "a command need not read its input, and may do with it what it likes" {
	command_file spoil <<-'EOF'
		case $(sed -n 's/^Subject: //p') in
		cut) exec python3 -c 'import os; os.ftruncate(0, 3)' ;;
		write) exec python3 -c 'import os; os.lseek(0, 0, 0); os.write(0, b"z" * 5000)' ;;
		shut) exec <&- >&- 2>&- ;;
		esac
	EOF
	make_taker
	"$TESTS/make-large" . 5000000 large.eml
	mkdir folder
	for n in cut write shut; do
		printf 'Subject: %s\n\nbody of %s\n' "$n" "$n" >"folder/$n"
	done
	printf 'Subject: last\n\nlast\n' >folder/z-last
	cp large.eml folder/x-large
	start_fakepop --folder folder
	account a 'deliver = "pipe:true"' | write_config
	run pophaul --no-mail-status 9
	assert_status 0
	rm -r "$STATE"
	# Each message is taken, then its file is spoilt.
	command_file both <<-'EOF'
		"$HOME/take"
		python3 -c 'import os; os.lseek(0, 0, 0)'
		exec "$HOME/spoil"
	EOF
	account a "deliver = \"pipe:$HOME/both\"" | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(taken_digests)" "$(folder_digests folder)"
}

@test "a command has a clean slate: descriptors, signals, environment, a group of its own" {
	cat >look.py <<-'EOF'
		import os
		def descriptors():
		    for name in sorted(os.listdir("/proc/self/fd"), key=int):
		        try:
		            yield name, os.readlink("/proc/self/fd/" + name)
		        except FileNotFoundError:  # the one that listed them
		            pass
		seen = {
		    "descriptors": [name for name, _ in descriptors()],
		    "position": os.lseek(0, 0, os.SEEK_CUR),
		    "leader": os.getpgrp() == os.getpid(),
		    "umask": "%o" % os.umask(0),
		    "folder": os.getcwd(),
		    "environment": {k: v for k, v in sorted(os.environ.items()) if k[:8] in ("POPHAUL_", "SSLKEYLO", "EXTRA")},
		    "password": [v for v in [*os.environ.values(), open("/proc/%d/cmdline" % os.getppid()).read()]
		                 if "in-no-path" in v],
		}
		with open(os.environ["HOME"] + "/seen", "w") as file:
		    for item in seen.items():
		        print(*item, file=file)
	EOF
	# Python ignores SIGPIPE itself: its shell tells what it got.
	command_file look <<-'EOF'
		grep -E '^Sig(Ign|Blk)' /proc/$$/status | tr '\t' ' ' >"$HOME/signals"
		exec python3 "$HOME/look.py"
	EOF
	start_fakepop -e 'messages 1' --tls --password in-no-path
	mkdir work
	account a.b 'password = "in-no-path"' "deliver = \"pipe:$HOME/look\"" | write_config
	cd work
	(
		umask 027
		trap '' USR1 PIPE
		export SSLKEYLOGFILE=$HOME/keys EXTRA=kept
		pophaul 7<"$CONF" 8>leak
	)
	assert_equal "$(cat "$HOME/seen")" "descriptors ['0', '1', '2']
position 0
leader True
umask 27
folder $HOME/work
environment {'EXTRA': 'kept', 'POPHAUL_ACCOUNT': 'a.b'}
password []"
	grep -qx 'SigBlk: 0*' "$HOME/signals"
	# Signals 32 and 33 are glibc's own: nobody can change them, and make (posix_spawn) ignores them for us.
	ignored=0x$(sed -n 's/^SigIgn: //p' "$HOME/signals")
	assert_equal "$((ignored & ~0x180000000))" 0
	[ ! -e "$HOME/keys" ]
}

# ---- real programs ----

@test "procmail files the mail into an mbox and a Maildir" {
	corpus folder
	start_fakepop --folder folder
	mkdir -p Maildir/{cur,new,tmp}
	# `:0:` begins a recipe with a lock.
	cat >procmailrc <<-EOF
		MAILDIR=$HOME
		DEFAULT=$HOME/Maildir/
		LOGFILE=$HOME/procmail.log
		:0:
		* ^List-Id:
		lists
	EOF
	chmod 600 procmailrc
	account a "deliver = \"pipe:procmail -f %s $HOME/procmailrc\"" 'keep = "never"' | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$stderr" ''
	[ "$(count_files folder)" -eq 0 ]
	corpus wanted
	[ "$(grep -c '^From ' lists)" -eq 1 ]
	head -n 1 lists | grep -E '^From [a-z].*@'
	grep -q '^List-Id:' lists
	[ "$(count_files Maildir/new)" -eq 24 ]
	# Two are changed by procmail: one has a false Content-Length, one no header.
	rm wanted/18* wanted/19* wanted/24*
	assert_equal "$(comm -23 <(folder_digests wanted) <(maildir_digests Maildir))" ''
}

@test "maildrop files the mail by its own filter" {
	corpus folder
	start_fakepop --folder folder
	mkdir -p Maildir/{cur,new,tmp}
	cat >filter <<-EOF
		if (/^List-Id:/)
		{
			to "$HOME/lists"
		}
		to "$HOME/Maildir"
	EOF
	chmod 600 filter
	account a "deliver = \"pipe:maildrop $HOME/filter\"" 'keep = "never"' | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$stderr" ''
	[ "$(count_files folder)" -eq 0 ]
	[ "$(grep -c '^From ' lists)" -eq 1 ]
	corpus wanted
	rm wanted/18*
	assert_maildir_has wanted Maildir
}

@test "Dovecot's LDA takes the mail octet by octet" {
	local lda port

	corpus folder
	start_fakepop --folder folder
	port=$PORT
	start_dovecot 'postmaster_address = postmaster@example.org'
	lda=$(doveconf -c "$DOVECOT_DIR/conf" -h libexec_dir)/dovecot-lda
	account joe "port = $port" 'tls = "none"' 'keep = "never"' \
		"deliver = \"pipe:$lda -c $DOVECOT_DIR/conf -d %a -f %s\"" | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$stderr" ''
	corpus wanted
	assert_maildir_has wanted "$DOVECOT_DIR/mail/joe/Maildir"
	[ "$(count_files folder)" -eq 0 ]
}

# ---- the server ----

@test "after a failure the session ends with QUIT, unless the server would then delete what failed" {
	command_file refuse <<-'EOF'
		! grep -q '^Subject: .*2'
	EOF
	start_fakepop -e 'message "Subject: 1\n\n"' -e 'message "Subject: 2\n\n"' -e 'message "Subject: 3\n\n"'
	account a "deliver = \"pipe:$HOME/refuse\"" 'keep = "never"' | write_config
	run pophaul
	assert_status 1
	assert_equal "$(transcript | tail -n 1)" QUIT
	assert_equal "$(transcript_events | grep -c deleted)" 2
	# One that deletes what was retrieved: EXPIRE 0 tells, or the configuration.
	for told in server configuration; do
		rm -rf "$STATE"
		start_fakepop -e 'message "Subject: 1\n\n"' -e 'message "Subject: 2\n\n"' \
			-e delete-retrieved -e "capa $([ $told = server ] && echo '+EXPIRE 0' || echo +X)"
		account a "deliver = \"pipe:$HOME/refuse\"" \
			"quit-after-failure = $([ $told = server ] && echo yes || echo no)" | write_config
		run --separate-stderr pophaul
		assert_status 1
		transcript 1 >said
		[ "$(grep -c QUIT said)" -eq 0 ]
		assert_equal "$(transcript_events 1 | grep -c deleted)" 0
		# It is still there, and nothing comes twice.
		echo 'echo again >>"$HOME/count"' >refuse
		run --separate-stderr pophaul
		assert_status 0
		assert_equal "$(cat count)" again
		[ "$(transcript 2 | tail -n 1)" = QUIT ]
		rm count
		command_file refuse <<-'EOF'
			! grep -q '^Subject: .*2'
		EOF
	done
}

@test "NOOP keeps the session alive while a command takes its time" {
	wait_until 60 test -e "$SLOW/status"
	assert_equal "$(cat "$SLOW/status" "$SLOW/out")" 0
	grep -q '^1> NOOP' "$SLOW_TRANSCRIPT"
	grep -q '^1\* deleted 2 ' "$SLOW_TRANSCRIPT"
}
