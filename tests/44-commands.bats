#!/usr/bin/env bats
# Commands that misbehave while they take a message: they die, stop, hang, flood, run away, turn
# on the process that started them. No mail is lost, none is repeated but by a kill, no run hangs.
# What a command is given, and how its failures are told, is in 11-pipe.bats.

load helper

setup() {
	default_setup
	mkdir taken
	command_file take <<-'EOT'
		file=$(mktemp "$HOME/taken/XXXXXXXXXXXX") && exec cat >"$file"
	EOT
}

# What a command has left behind must not outlive the test.
teardown() {
	local pid

	for pid in $(cat "$HOME"/*.pid 2>/dev/null); do
		kill -KILL "$pid" 2>/dev/null || :
	done
	default_teardown
}

# command_file NAME <<EOF: a shell script, HOME/NAME.
command_file() {
	{ echo '#!/bin/sh' && cat; } >"$HOME/$1"
	chmod 700 "$HOME/$1"
}

# use COMMAND LINE…: the account "a" for the server started last, which delivers to HOME/COMMAND and deletes.
use() {
	account a "deliver = \"pipe:$HOME/$1\"" 'keep = "never"' "${@:2}" | write_config
}

# The messages that the command "take" has had, by number; one that it had twice is there twice.
taken() {
	find taken -type f -exec sed -n 's/^Subject: \(Generated message \)\{0,1\}//p' {} + | sort -V | paste -sd ' '
}

is_gone() {
	! kill -0 "$1" 2>/dev/null || grep -q '^State:.*zombie' "/proc/$1/status" 2>/dev/null
}

deleted() {
	transcript_events "${1:-1}" | sed -n 's/^deleted [0-9]* //p' | paste -sd ' '
}

# The next run, with a command that works, gets so many messages, each once, and the server is empty.
the_rest_comes() {
	use take
	poll
	assert_status 0
	assert_equal "$stderr" ''
	assert_equal "$(taken)" "$1"
	poll --no-mail-status 9
	assert_status 9
}

# Signals that end a process, without those that a shell would rather not die of.
deadly_signals() {
	local number

	for number in {1..31}; do
		case $(kill -l "$number") in
		CHLD | CONT | STOP | TSTP | TTIN | TTOU | URG | WINCH) ;;
		*) echo "$number" ;;
		esac
	done
}

@test "a command that dies of any signal keeps its message on the server" {
	local signals numbers number

	signals=$(deadly_signals | paste -sd ' ')
	command_file die <<-'EOT'
		n=$(($(cat "$HOME/count" 2>/dev/null || echo 0) + 1))
		echo "$n" >"$HOME/count"
		ulimit -c 0
		kill -"$(cut -d ' ' -f "$n" "$HOME/signals")" $$
		exit 0
	EOT
	echo "$signals" >signals
	read -r -a numbers <<<"$signals"
	[ "${#numbers[@]}" -ge 22 ]
	start_fakepop -e "messages ${#numbers[@]}"
	use die
	poll -v
	assert_status 1
	for number in "${numbers[@]}"; do
		assert_stderr_has "command '$HOME/die' was killed by signal $number ("
	done
	assert_equal "$(grep -c 'was killed by signal' <<<"$stderr")" "${#numbers[@]}"
	assert_equal "$(deleted)" ''
	the_rest_comes "$(seq -s ' ' "${#numbers[@]}")"
}

@test "a command that fails without having read a big mail keeps it on the server, whole" {
	command_file refuse <<-'EOT'
		exit "$(cat "$HOME/status")"
	EOT
	start_fakepop -e 'messages 2 5000000'
	for status in 75 1; do
		echo $status >status
		use refuse
		poll
		assert_status 1
		assert_equal "$(grep -c "exited with status $(cat status)" <<<"$stderr")" 2
	done
	assert_equal "$(deleted 1)$(deleted 2)" ''
	the_rest_comes '1 2'
	[ "$(find taken -size +4700k | wc -l)" -eq 2 ]
}

# ---- commands that stay ----

@test "a command that stops itself, or closes all it has, is killed in time, and the next message comes" {
	command_file stay <<-'EOT'
		n=$(($(cat "$HOME/count" 2>/dev/null || echo 0) + 1))
		echo "$n" >"$HOME/count"
		echo $$ >"$HOME/stay-$n.pid"
		case $n in
		1) kill -STOP $$ ;;
		2) exec <&- >&- 2>&- sleep 1000 ;;
		3) exec "$HOME/take" ;;
		esac
	EOT
	start_fakepop -e 'messages 3'
	use stay 'pipe-timeout = 1s'
	poll
	assert_status 1
	assert_equal "$stderr" "pophaul: a: message 1 (uid-1): command '$HOME/stay' was killed: it took longer than 1 s
pophaul: a: message 2 (uid-2): command '$HOME/stay' was killed: it took longer than 1 s"
	wait_until 5 is_gone "$(cat stay-1.pid)"
	wait_until 5 is_gone "$(cat stay-2.pid)"
	assert_equal "$(deleted)" uid-3
	the_rest_comes '1 2 3'
}

@test "a command that leaves its process group is killed in time all the same" {
	cat >leave.py <<-'EOT'
		import os, signal, sys, time
		# Into the group of the process that started it, where a signal to its own does not reach it.
		os.setpgid(0, os.getpgid(os.getppid()))
		signal.signal(signal.SIGTERM, signal.SIG_IGN)
		with open(os.environ["HOME"] + "/left.pid", "w") as file:
		    print(os.getpid(), file=file)
		time.sleep(1000)
	EOT
	command_file leave <<-'EOT'
		exec python3 "$HOME/leave.py"
	EOT
	start_fakepop -e 'messages 1'
	use leave 'pipe-timeout = 2s'
	poll
	assert_status 1
	assert_stderr_has "command '$HOME/leave' was killed: it took longer than 2 s"
	[ -s left.pid ]
	wait_until 5 is_gone "$(cat left.pid)"
	the_rest_comes 1
}

@test "a daemon that a command leaves behind, with all descriptors open, is not waited for and not killed" {
	command_file daemonize <<-'EOT'
		# A session of its own, the mail as its input, our pipe as its output.
		exec 9<&0
		setsid sh -c 'echo $$ >>"$HOME/daemon.pid"; while sleep 0.2; do echo still here; done' <&9 &
		exec "$HOME/take"
	EOT
	start_fakepop -e 'messages 3'
	use daemonize
	POPHAUL_LIMIT=30 poll
	assert_status 0
	assert_equal "$stderr" ''
	assert_equal "$(taken)" '1 2 3'
	wait_until 5 test "$(wc -l <daemon.pid)" -eq 3
	# Their output has nowhere to go any more, which is their affair; nobody has killed them before that.
	the_rest_comes '1 2 3'
}

@test "a command that has closed its output is waited for, not asked again and again" {
	command_file idle <<-'EOT'
		# Nobody holds the other end any more, which poll(2) never tires to tell.
		exec >&- 2>&-
		sleep 1
	EOT
	start_fakepop -e 'messages 1'
	use idle
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 run --separate-stderr \
		strace -f -qq -o polls -e trace=poll,ppoll timeout -k 5 60 "$BUILD/pophaul"
	assert_status 0
	[ "$(wc -l <polls)" -lt 500 ] || fail "$(wc -l <polls) polls"
}

# ---- output ----

@test "a hundred megabytes of output on both descriptors take no memory and fill no log" {
	command_file flood <<-'EOT'
		head -c 50000000 /dev/zero | tr '\0' '\033' >&2 &
		head -c 50000000 /dev/zero | tr '\0' x
		wait
		sed -n 's/^VmHWM:[^0-9]*//p' "/proc/$PPID/status" >"$HOME/memory"
		exit 1
	EOT
	start_fakepop -e 'messages 2'
	use flood
	poll -v
	assert_status 1
	assert_equal "$(grep -c "command '$HOME/flood' exited with status 1: " <<<"$stderr")" 2
	[ "${#stderr}" -lt 4000 ] || fail "${#stderr} octets are logged"
	[[ $stderr != *$'\033'* ]] || fail 'an escape was logged as it is'
	# A sanitizer keeps what was freed.
	grep -qa __asan_init "$BUILD/pophaul" || [ "$(cut -d ' ' -f 1 memory)" -lt 65536 ] || fail "memory: $(cat memory)"
	assert_equal "$(deleted)" ''
	the_rest_comes '1 2'
}

@test "what commands say reaches no terminal as it is, whatever the format of the log" {
	command_file escape <<-'EOT'
		printf '\033]0;title\007\033[2J\233m\r\b\0 \342\200\256 "quoted" \\\n' >&2
		exit 1
	EOT
	start_fakepop -e 'messages 2'
	use escape
	for format in text json; do
		poll --log-format $format
		assert_status 1
		# Each of the two is told, once.
		assert_equal "$(grep -c "message 1 (uid-1): command '$HOME/escape' exited with status 1" <<<"$stderr")" 1
		assert_equal "$(grep -c "message 2 (uid-2): command '$HOME/escape' exited with status 1" <<<"$stderr")" 1
		assert_equal "$(LC_ALL=C tr -d '\n\040-\176' <<<"$stderr" | wc -c)" 0
	done
	python3 -c 'import json, sys; [json.loads(line) for line in sys.argv[1].splitlines()]' "$stderr"
}

# ---- commands that kill ----

@test "a command that kills the process that started it costs one repeated message at most, and no other" {
	command_file assassin <<-'EOT'
		"$HOME/take" || exit 75
		grep -q 'message 2$' "$(ls -t "$HOME"/taken/* | head -n 1)" || exit 0
		[ -e "$HOME/killed" ] && exit 0
		touch "$HOME/killed"
		echo $$ >"$HOME/assassin.pid"
		kill -KILL "$PPID"
		# Whom nobody waits for any more is told to end.
		sleep 1000
	EOT
	start_fakepop -e 'messages 4'
	use assassin
	poll
	assert_status 70
	assert_stderr_has 'pophaul: a: the worker process was killed by signal 9 (Killed)'
	wait_until 10 is_gone "$(cat assassin.pid)"
	assert_equal "$(taken)" '1 2'
	assert_equal "$(deleted)" ''
	poll
	assert_status 0
	# The second could not be recorded, the first was.
	assert_equal "$(taken)" '1 2 2 3 4'
	assert_equal "$(deleted 2)" 'uid-1 uid-2 uid-3 uid-4'
}

@test "a command that kills every process of its user that runs pophaul loses nothing" {
	command_file massacre <<-'EOT'
		[ -e "$HOME/killed" ] && exec "$HOME/take"
		touch "$HOME/killed"
		worker=$PPID
		poller=$(awk '{ print $4 }' "/proc/$worker/stat")
		kill -KILL "$poller" "$worker"
	EOT
	start_fakepop -e 'messages 3'
	use massacre
	poll
	assert_status 137
	wait_until 10 flock -n "$STATE/a.lock" true
	assert_equal "$(deleted)" ''
	the_rest_comes '1 2 3'
}

# ---- asked to stop meanwhile ----

# What the command does, by name, for the first message.
make_troublemaker() {
	command_file trouble <<-'EOT'
		echo $$ >"$HOME/trouble.pid"
		touch "$HOME/here"
		case $1 in
		hang) exec sleep 1000 ;;
		stubborn) trap '' TERM INT HUP; while :; do sleep 1; done ;;
		stopped) kill -STOP $$ ;;
		flood) exec yes ;;
		closed) exec sleep 1000 <&- >&- 2>&- ;;
		leader) setsid sleep 1000 & echo $! >"$HOME/runaway.pid"; wait ;;
		esac
	EOT
}

# start_polling: in the background, POLLER and RUN; its standard error is err.
start_polling() {
	timeout -k 5 60 sh -c 'echo $$ >poller; exec "$0"' "$BUILD/pophaul" </dev/null >out 2>err 3>&- &
	RUN=$!
	SERVER_PIDS+=("$RUN")
}

# Whatever the command does, one signal ends the run when the command's time is over at the latest.
@test "a signal ends a run in the command's time, whatever the command does, and the mail stays" {
	local what signal=TERM status

	make_troublemaker
	for what in hang stubborn stopped flood closed leader; do
		rm -rf here "$STATE"
		start_fakepop -e 'messages 2'
		use "trouble $what" 'pipe-timeout = 1s'
		start_polling
		wait_until 20 test -e here
		kill -s $signal "$(cat poller)"
		status=0
		wait "$RUN" || status=$?
		assert_equal "$what, $signal: $status" "$what, $signal: 75"
		wait_until 5 is_gone "$(cat trouble.pid)"
		assert_equal "$(deleted)" ''
		[ $signal = TERM ] && signal=INT || signal=TERM
		rm -rf taken/*
		the_rest_comes '1 2'
	done
}

@test "two signals end a run at once, whatever the command does, and the mail stays" {
	local what status

	make_troublemaker
	for what in stubborn stopped flood closed; do
		rm -rf here "$STATE"
		start_fakepop -e 'messages 2'
		use "trouble $what" 'pipe-timeout = 1h'
		start_polling
		wait_until 20 test -e here
		kill -TERM "$(cat poller)"
		wait_until 20 grep -q interrupted err
		kill -INT "$(cat poller)"
		status=0
		wait "$RUN" || status=$?
		assert_equal "$what: $status" "$what: 75"
		# Left alone, as it asked for; not by us.
		[ $what != stubborn ] || kill -KILL "$(cat trouble.pid)"
		wait_until 5 is_gone "$(cat trouble.pid)"
		assert_equal "$(deleted)" ''
		wait_until 10 flock -n "$STATE/a.lock" true
		rm -rf taken/*
		the_rest_comes '1 2'
	done
}
