#!/usr/bin/env bats
# Many accounts in one run, and what ends a run: how many are polled at once, that none disturbs another,
# signals, crashes, two runs at once, secrets of running processes.

load helper

# start_run ARGUMENT…: the program in the background; POLLER is its process. Its outputs go to out and err.
start_run() {
	rm -f poller.pid
	# shellcheck disable=SC2016 # for that shell
	timeout -k 5 60 sh -c 'echo $$ >poller.new; mv poller.new poller.pid; exec "$0" "$@"' \
		"${RUNNER[@]:-"$BUILD/pophaul"}" "$@" >out 2>err 3>&- &
	RUN=$!
	SERVER_PIDS+=("$RUN")
	wait_until 10 test -s poller.pid
	POLLER=$(cat poller.pid)
}

# After start_run: wait for its end, and set what `run` sets.
end_run() {
	status=0
	wait "$RUN" || status=$?
	output=$(cat out) stderr=$(cat err)
}

# children PID: the processes that it started and that live.
children() {
	local file line

	for file in /proc/[0-9]*/stat; do
		{ read -r line <"$file"; } 2>/dev/null || continue
		# PID (NAME) STATE PARENT …, and a name may have any letter in it.
		[[ ${line##*) } != "Z "* && ${line##*) } == ?" $1 "* ]] && echo "${line%% *}"
	done
	return 0
}

# Whether a process has ended: that nobody has reaped it yet is not its fault.
is_gone() {
	local line

	{ read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
	[[ ${line##*) } == "Z "* ]]
}

# Sets WORKER and FETCHER, the processes of the only account that runs.
find_processes() {
	WORKER=$(children "$POLLER")
	FETCHER=$(children "$WORKER")
	[[ $WORKER =~ ^[0-9]+$ && $FETCHER =~ ^[0-9]+$ ]] || fail "worker '$WORKER', fetcher '$FETCHER'"
}

# has_lines NUMBER PATTERN FILE: exactly so many.
has_lines() {
	[ "$(grep -cE -e "$2" "$3")" -eq "$1" ]
}

# Every message of `messages N` once, below these folders: N files, all different.
assert_each_once() {
	local count=$1

	shift
	assert_equal "$(count_files "$@")" "$count" || return
	assert_equal "$(find "$@" -type f -exec sha256sum {} + | cut -d ' ' -f 1 | sort -u | wc -l)" "$count"
}

# Accounts NAME…: each with a Maildir of its own, ready to be polled.
accounts() {
	local name

	for name in "$@"; do
		account "$name" "user = \"$name\"" "deliver = \"maildir:$HOME/mail/$name\""
	done
}

# ---- how many at once ----

@test "a hundred accounts are all polled, twenty at once when jobs and per-host say so" {
	start_fakepop -e any-user -e 'messages 2' -e "on RETR 1 await $HOME/go; normal"
	names=$(printf 'a%d ' {1..100})
	# shellcheck disable=SC2086
	write_config < <(echo 'jobs = 20 per-host = 20'; accounts $names)
	start_run -v
	wait_until 20 has_lines 20 '> RETR 1$' "$TRANSCRIPT"
	[ "$(children "$POLLER" | wc -l)" -eq 20 ]
	[ "$(count_sessions)" -eq 20 ]
	touch go
	end_run
	assert_status 0
	[ "$(count_sessions)" -eq 100 ]
	[ "$(count_files mail)" -eq 200 ]
	[ "$(find mail -path '*/new/*' | cut -d / -f 2 | sort | uniq -c | grep -c '^ *2 ')" -eq 100 ]
	[ "$(grep -cE '^a[0-9]+: 2 messages, .* 0 failed, ' out)" -eq 100 ]
	grep -qE '^100 accounts: 200 messages, [0-9.]+ KB, 0 failed; 0 accounts with trouble, [0-9.]+ s$' out
	[ "$(find "$STATE" -name '*.uidl' | wc -l)" -eq 100 ]
	# The second run finds nothing new.
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$output$stderr" ''
	[ "$(count_files mail)" -eq 200 ]
}

@test "no host is asked for more than per-host accounts at once, and others go on meanwhile" {
	start_fakepop -e any-user -e 'messages 1' -e "on RETR 1 await $HOME/go; normal"
	# The same server under two names.
	write_config < <(echo 'jobs = 8 per-host = 2'; accounts a1 a2 a3 a4 a5; HOST=127.1; accounts b1 b2 b3)
	start_run
	wait_until 20 has_lines 4 '> RETR 1$' "$TRANSCRIPT"
	[ "$(children "$POLLER" | wc -l)" -eq 4 ]
	[ "$(count_sessions)" -eq 4 ]
	assert_equal "$(cd "$STATE" && echo *.lock)" 'a1.lock a2.lock b1.lock b2.lock'
	touch go
	end_run
	assert_status 0
	[ "$(count_files mail)" -eq 8 ]
}

@test "--jobs and --per-host hold whatever the configuration says" {
	start_fakepop -e any-user -e 'messages 1' -e "on RETR 1 await $HOME/go; normal"
	write_config < <(echo 'jobs = 1 per-host = 1'; accounts a{1..4}; HOST=127.1; accounts b{1..4})
	start_run --jobs 5 --per-host 3
	wait_until 20 has_lines 5 '> RETR 1$' "$TRANSCRIPT"
	[ "$(children "$POLLER" | wc -l)" -eq 5 ]
	assert_equal "$(cd "$STATE" && echo *.lock)" 'a1.lock a2.lock a3.lock b1.lock b2.lock'
	touch go
	end_run
	assert_status 0
	[ "$(count_files mail)" -eq 8 ]
}

@test "per-host is 4 and jobs is 8 where nothing is said" {
	start_fakepop -e any-user -e 'messages 1' -e "on RETR 1 await $HOME/go; normal"
	write_config < <(accounts a{1..6}; HOST=127.1; accounts b{1..6}; HOST=127.0.1; accounts c{1..6})
	start_run
	wait_until 20 has_lines 8 '> RETR 1$' "$TRANSCRIPT"
	[ "$(children "$POLLER" | wc -l)" -eq 8 ]
	assert_equal "$(cd "$STATE" && echo *.lock)" "$(echo {a,b}{1..4}.lock)"
	touch go
	end_run
	assert_status 0
	[ "$(count_files mail)" -eq 18 ]
}

@test "-j and --jobs are stronger than jobs, and one at a time is in the order of the file" {
	start_fakepop -e any-user -e 'messages 1' -e "on RETR 1 await $HOME/go; normal"
	write_config < <(echo 'jobs = 4'; accounts a b c)
	for option in '-j 1' --jobs=1; do
		rm -rf go "$STATE"
		: >"$TRANSCRIPT"
		# shellcheck disable=SC2086
		start_run -v $option
		wait_until 20 has_lines 1 '> RETR 1$' "$TRANSCRIPT"
		[ "$(children "$POLLER" | wc -l)" -eq 1 ]
		touch go
		end_run
		assert_status 0
		assert_equal "$(grep -oE '^[abc]:' out | tr -d '\n')" 'a:b:c:'
	done
}

# ---- which ----

@test "accounts with skip are polled only when they are named" {
	start_fakepop -e any-user -e 'messages 1'
	write_config < <(accounts a; account b 'skip = yes' "deliver = \"maildir:$HOME/mail/b\"")
	run pophaul
	assert_status 0
	[ "$(count_files mail/a)" -eq 1 ] && [ ! -e mail/b ]
	run pophaul b
	assert_status 0
	[ "$(count_files mail/b)" -eq 1 ]
	# With nothing left there is nothing to do, and nothing wrong.
	write_config < <(account b 'skip = yes')
	run pophaul
	assert_status 0
	assert_output_is ''
	[ "$(count_sessions)" -eq 2 ]
}

@test "only the accounts that are named are polled" {
	start_fakepop -e any-user -e 'messages 1'
	write_config < <(accounts a b c)
	run pophaul c a
	assert_status 0
	assert_equal "$(cd mail && echo *)" 'a c'
}

# ---- failures ----

@test "accounts that fail in every way do not disturb the others" {
	local closed

	closed=$(free_port)
	start_fakepop -e stall
	hanging=$PORT
	start_fakepop -e 'greeting nonsense'
	odd=$PORT
	start_fakepop -e 'messages 3'
	write_config < <(
		echo 'per-host = 9'
		account refused "port = $closed" "deliver = \"maildir:$HOME/mail/x\""
		account hanging "port = $hanging" 'timeout = 1s' "deliver = \"maildir:$HOME/mail/x\""
		account wrong 'password = "wrong"' "deliver = \"maildir:$HOME/mail/x\""
		account odd "port = $odd" "deliver = \"maildir:$HOME/mail/x\""
		account nowhere 'deliver = "maildir:/dev/null/x"'
		account refuses 'deliver = "pipe:false"'
		account first "deliver = \"maildir:$HOME/mail/first\""
		account last "deliver = \"maildir:$HOME/mail/last\""
	)
	run --separate-stderr pophaul -v --no-mail-status 9
	assert_status 73
	assert_each_once 3 mail/first
	assert_each_once 3 mail/last
	[ "$(count_files mail/x)" -eq 0 ]
	for name in refused hanging wrong odd nowhere; do
		[ "$(grep -c "^pophaul: $name: " <<<"$stderr")" -ge 1 ] || fail "nothing is said of $name" "$stderr"
		! grep -q "^$name: " <<<"$output" || fail "$name has a result" "$output"
	done
	assert_output_matches '^refuses: no new mail, 3 left, 0 skipped, 3 failed, '
	assert_output_matches '^8 accounts: 6 messages, [0-9.]+ KB, 3 failed; 6 accounts with trouble, [0-9.]+ s$'
}

@test "the exit status is the gravest of all accounts" {
	local name names wanted

	start_fakepop -e 'greeting nonsense'
	odd=$PORT
	start_fakepop -e 'messages 1' -e 'capa -UIDL' -e 'on UIDL send -ERR what'
	idless=$PORT
	closed=$(free_port)
	start_fakepop -e 'messages 1 90000'
	big=$PORT
	start_fakepop -e 'messages 1'
	write_config < <(
		echo 'per-host = 9'
		account s0
		account s75
		account s1 'deliver = "pipe:false"'
		account s69 "port = $closed"
		account s76 "port = $odd"
		account s77 'password = "wrong"'
		account s74 "port = $big"
		account s73 'deliver = "maildir:/dev/null/x"'
		account s78 "port = $idless"
	)
	mkdir -p "$STATE"
	: >"$STATE/s75.lock"
	exec 7<"$STATE/s75.lock"
	flock 7
	# Gravest first; the order of naming plays no role.
	names='s78 s73 s74 s77 s76 s69 s1 s75 s0'
	while [ -n "$names" ]; do
		wanted=${names%% *}
		# Files may have 40 KiB, which is too little for the big message.
		# shellcheck disable=SC2046,SC2086
		run bash -c 'ulimit -f 40 && exec timeout -k 5 60 "$@"' - "$BUILD/pophaul" \
			$(printf '%s\n' $names | sort) 7<&-
		assert_status "${wanted#s}"
		[[ $names == *' '* ]] || break
		names=${names#* }
	done
	exec 7<&-
}

@test "an account whose process crashes is one account's failure, and loses nothing" {
	# A sanitizer would make an orderly end of it.
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}handle_segv=0
	export UBSAN_OPTIONS=${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}handle_segv=0
	start_fakepop -e any-user -e 'messages 3' -e "on RETR 3 touch $HOME/there; await $HOME/go; normal"
	crashing=$PORT
	start_fakepop -e any-user -e 'messages 2'
	for victim in fetcher worker; do
		rm -rf there go "$STATE" mail
		write_config < <(echo 'jobs = 1'; PORT=$crashing accounts bad; accounts good)
		start_run -v
		wait_until 10 test -e there
		find_processes
		# The first two are delivered while the third is on its way.
		wait_until 10 eval '[ "$(count_files mail/bad/new)" -eq 2 ]'
		[ "$victim" = fetcher ] && kill -SEGV "$FETCHER" || kill -SEGV "$WORKER"
		wait_until 10 is_gone "$FETCHER"
		end_run
		assert_status 70
		assert_stderr_has "pophaul: bad: the $victim process was killed by signal 11 (Segmentation fault)"
		grep -q '^good: 2 messages' out
		assert_each_once 2 mail/good
		touch go
		run pophaul
		assert_status 0
		assert_each_once 3 mail/bad
		[ "$(find . -name 'core*' | wc -l)" -eq 0 ]
	done
}

@test "what --list prints of several accounts is not mixed" {
	start_fakepop -e any-user -e 'messages 50' -e "on TOP 25 await $HOME/go; normal"
	write_config < <(accounts a b c d)
	start_run -l -v
	# Half of each is known before any has the rest.
	wait_until 10 has_lines 4 '> TOP 25 0$' "$TRANSCRIPT"
	touch go
	end_run
	assert_status 0
	assert_equal "$(sed -nE 's/^([abcd]): 50 messages.*/\1/p' <<<"$output" | sort | tr -d '\n')" abcd
	# Each account's block has its messages in order.
	assert_equal "$(awk '/^[abcd]: /{n = 0; next} / new$/{if ($1 != ++n) print "mixed: " $0}' <<<"$output")" ''
	[ "$(grep -c '  new$' <<<"$output")" -eq 200 ]
}

@test "with --log-format json each account ends with an object, whatever became of it" {
	start_fakepop -e any-user -e 'messages 2'
	write_config < <(accounts a b; account c 'password = "wrong"')
	run --separate-stderr pophaul --log-format json
	assert_status 77
	assert_equal "$(python3 -c 'import json, sys
for o in sorted(map(json.loads, sys.argv[1].splitlines()), key=lambda o: o["account"]):
    print(o["account"], o["result"], o["status"], o["fetched"], o["failed"], "error" in o)' "$output")" \
		'a ok 0 2 0 False
b ok 0 2 0 False
c auth 77 0 0 True'
}

@test "the progress line counts accounts, and results stand clear of it" {
	start_fakepop -e any-user -e 'messages 20 20000' -e 'on /^RETR / wait 40; normal'
	write_config < <(accounts a b | sed 's/^}/pipelining = off }/')
	run pophaul --progress always -v
	assert_status 0
	tr '\r' '\n' <<<"$output" | grep -qE $'^\e\\[K[0-9]+/2 accounts, [0-9]+/40 messages, [0-9.]+ [KM]B of 800\\.0 KB'
	[ "$(grep -cE $'(^|\e\\[K)[ab]: 20 messages, ' <<<"$output")" -eq 2 ]
}

# ---- signals ----

# A server of 150 messages: the fourth comes when the file go exists, the others slowly in the first
# session. Who is told to stop meanwhile does not get them all.
start_slow_server() {
	start_fakepop -e 'messages 150' -e "session 1 on RETR 4 touch $HOME/there; await $HOME/go; normal" \
		-e 'session 1 on /^RETR / wait 15; normal'
}

@test "a signal lets what is complete be recorded, ends with 75, and the next run gets the rest" {
	for signal in INT TERM HUP; do
		rm -rf there go "$STATE" Maildir
		start_slow_server
		write_config < <(echo 'jobs = 1'; account home 'keep = "never"' 'pipelining = off'; accounts later)
		start_run
		wait_until 10 test -e there
		find_processes
		kill -s $signal "$POLLER"
		wait_until 10 has_lines 1 'interrupted: finishing what is complete \(a second signal ends at once\)$' err
		touch go
		end_run
		assert_status 75
		is_gone "$WORKER" && is_gone "$FETCHER"
		# What is in the Maildir is in the state, or deleted on the server and forgotten.
		arrived=$(count_files Maildir/new)
		[ "$arrived" -ge 4 ]
		[ "$arrived" -lt 150 ]
		[ "$(grep -c '^got ' "$STATE/home.uidl" || :)" -le "$arrived" ]
		[ "$(count_files Maildir/tmp)" -eq 0 ]
		# Nothing new was started.
		[ ! -e "$STATE/later.lock" ]
		run pophaul home
		assert_status 0
		assert_each_once 150 Maildir
	done
}

@test "a hanging server does not keep a run that was told to end, which says so" {
	start_fakepop -e "on CAPA touch $HOME/there; stall"
	write_config < <(account home)
	start_run
	wait_until 10 test -e there
	find_processes
	kill "$POLLER"
	# One signal is enough before the login: there is nothing to finish.
	end_run
	assert_status 75
	is_gone "$WORKER" && is_gone "$FETCHER"
}

@test "a second signal ends at once, with a server that hangs in a message" {
	start_fakepop -e 'messages 2' -e "on RETR 2 touch $HOME/there; stall"
	write_config < <(account home)
	start_run
	wait_until 10 test -e there
	wait_until 10 eval '[ "$(count_files Maildir/new)" -eq 1 ]'
	find_processes
	kill "$POLLER"
	wait_until 10 has_lines 1 'interrupted' err
	begun=$SECONDS
	kill -INT "$POLLER"
	end_run
	[ $((SECONDS - begun)) -lt 45 ]
	assert_status 75
	assert_stderr_has 'pophaul: home: ended at once by a second signal'
	wait_until 5 is_gone "$WORKER"
	wait_until 5 is_gone "$FETCHER"
	# It is as safe as any other death.
	start_fakepop -e 'messages 2'
	sed -i -E "s/port = [0-9]+/port = $PORT/" "$CONF"
	run pophaul
	assert_status 0
	assert_each_once 2 Maildir
}

@test "a second signal ends a command that hangs, too" {
	start_fakepop -e 'messages 2'
	write_config < <(account home "deliver = \"pipe:sh -c 'echo \$\$ >command; exec sleep 1000'\"")
	start_run
	wait_until 10 test -s command
	kill -HUP "$POLLER"
	wait_until 10 has_lines 1 'interrupted' err
	begun=$SECONDS
	kill -TERM "$POLLER"
	end_run
	[ $((SECONDS - begun)) -lt 45 ]
	assert_status 75
	wait_until 5 is_gone "$(cat command)"
}

@test "nohup holds SIGHUP off, from the poller and its workers" {
	start_fakepop -e 'messages 2' -e "on RETR 2 touch $HOME/there; await $HOME/go; normal"
	write_config < <(account home)
	RUNNER=(nohup "$BUILD/pophaul")
	start_run
	wait_until 10 test -e there
	find_processes
	kill -HUP "$POLLER" "$WORKER" "$FETCHER"
	touch go
	end_run
	assert_status 0
	[[ $stderr != *interrupted* ]] || fail "$stderr"
	assert_each_once 2 Maildir
}

@test "workers whose poller is killed leave in good order, and nothing is lost or doubled" {
	start_slow_server
	write_config < <(account home 'pipelining = off')
	start_run
	wait_until 10 test -e there
	find_processes
	kill -KILL "$POLLER"
	touch go
	wait_until 10 is_gone "$WORKER"
	wait_until 10 is_gone "$FETCHER"
	end_run
	assert_status 137
	# What has arrived is recorded: no more and no less.
	arrived=$(count_files Maildir/new)
	assert_equal "$(grep -c '^got ' "$STATE/home.uidl")" "$arrived"
	[ "$arrived" -ge 3 ]
	[ "$arrived" -lt 150 ]
	[ "$(count_files Maildir/tmp)" -eq 0 ]
	run pophaul
	assert_status 0
	assert_each_once 150 Maildir
}

@test "a fetcher does not outlive its deliverer" {
	start_fakepop -e 'messages 2' -e "on RETR 2 touch $HOME/there; stall"
	write_config < <(account home)
	start_run
	wait_until 10 test -e there
	find_processes
	kill -KILL "$WORKER"
	wait_until 5 is_gone "$FETCHER"
	end_run
	assert_status 70
	assert_stderr_has 'pophaul: home: the worker process was killed by signal 9 (Killed)'
}

# ---- two runs at once ----

@test "a second run on the same configuration leaves what is being polled alone" {
	start_fakepop -e any-user -e 'messages 3' -e "on RETR 2 touch $HOME/there; await $HOME/go; normal"
	write_config < <(accounts a b)
	start_run a
	wait_until 10 test -e there
	run --separate-stderr pophaul a
	assert_status 75
	assert_equal "$output$stderr" ''
	run pophaul -l a
	assert_status 0
	touch go
	# The account that nobody works on is polled all the same.
	end_run
	assert_status 0
	start_run
	run pophaul
	[ "$status" -eq 0 ] || [ "$status" -eq 75 ]
	end_run
	[ "$status" -eq 0 ] || [ "$status" -eq 75 ]
	assert_each_once 3 mail/a
	assert_each_once 3 mail/b
}

# ---- secrets ----

@test "no secret is in the arguments, the environment, a core file or the output of any process" {
	local pid secret=Xyzzy-4711-secret

	start_fakepop --password "$secret" -e 'messages 2' -e "on RETR 2 touch $HOME/there; await $HOME/go; normal"
	for source in "password = \"$secret\"" 'password-file = "~/secret"' 'password-command = "cat secret"'; do
		rm -rf there go "$STATE" spied
		echo "$secret" >secret
		chmod 600 secret
		write_config < <(account home 'password = ' "$source" \
			"deliver = \"pipe:sh -c 'cat /proc/self/environ /proc/self/cmdline >>spied; cat >/dev/null'\"")
		SSLKEYLOGFILE=$HOME/keys start_run -vv
		wait_until 10 test -e there
		find_processes
		for pid in "$POLLER" "$WORKER" "$FETCHER"; do
			# For who is not root they are closed, which is even better.
			! tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "$secret" || fail "arguments of $pid"
			! { tr '\0' '\n' <"/proc/$pid/environ"; } 2>/dev/null | grep -q "$secret" || fail "environment of $pid"
			grep -qE '^Max core file size +0 +0 ' "/proc/$pid/limits" || fail "$pid may leave a core file"
		done
		kill -QUIT "$FETCHER"
		touch go
		end_run
		[ "$(find . -name 'core*' | wc -l)" -eq 0 ]
		run pophaul -vv
		assert_status 0
		[ -s spied ]
		! grep -qE "$secret|SSLKEYLOGFILE" spied || fail 'the command saw it'
		[ ! -e keys ]
		! grep -rqF "$secret" out err "$STATE" || fail 'it was logged or recorded'
		refute_output_has "$secret"
	done
}

# secrets_in PID SECRET…: those that stand in the process's memory.
secrets_in() {
	python3 - "$@" <<-'EOF'
		import sys
		pid, secrets = sys.argv[1], sys.argv[2:]
		memory = open("/proc/%s/mem" % pid, "rb", 0)
		for line in open("/proc/%s/maps" % pid):
		    place, rights = line.split()[:2]
		    if "r" not in rights or "[v" in line:
		        continue
		    start, end = (int(x, 16) for x in place.split("-"))
		    memory.seek(start)
		    try:
		        octets = memory.read(end - start)
		    except OSError:
		        continue
		    secrets = [s for s in secrets if not (s.encode() in octets and not print(s))]
	EOF
}

@test "no process holds a secret longer than it needs it, and none that of another account" {
	# Its shadow of the memory is terabytes long, and it keeps what was freed.
	! grep -qa __asan_init "$BUILD/pophaul" || skip 'built with AddressSanitizer'
	start_fakepop --password Own-Secret-1 -e 'messages 3' -e "on RETR 2 touch $HOME/there; await $HOME/go; normal"
	write_config < <(
		echo 'jobs = 1'
		account a 'password = "Own-Secret-1"' 'auth = PLAIN'
		account b 'password = "Other-Secret-2"'
	)
	start_run
	wait_until 10 test -e there
	# The first message has come: the session will not be begun again.
	wait_until 10 eval '[ "$(count_files Maildir/new)" -eq 1 ]'
	find_processes
	if ! true 2>/dev/null <"/proc/$POLLER/mem"; then
		# Then nobody else of this user can look, either.
		[ "$(id -u)" -ne 0 ] || skip 'this root must not read the memory of processes'
		! true 2>/dev/null <"/proc/$FETCHER/mem" || fail 'the fetcher is open'
		! true 2>/dev/null <"/proc/$WORKER/mem" || fail 'the deliverer is open'
	else
		# That the search finds something at all is seen in the poller.
		assert_equal "$(secrets_in "$POLLER" Own-Secret-1 Other-Secret-2)" Other-Secret-2
		assert_equal "$(secrets_in "$WORKER" Own-Secret-1 Other-Secret-2)" ''
		assert_equal "$(secrets_in "$FETCHER" Own-Secret-1 Other-Secret-2 "$(printf '\0jane\0Own-Secret-1' | base64)")" ''
	fi
	touch go
	end_run
	assert_status 77
}

@test "more accounts at once than there may be open files: all come, by a higher limit or one after another" {
	mails 1
	serve "${MAILS[@]}"
	{
		printf '%s\n' 'jobs = 1000' 'per-host = 1000'
		for i in $(seq 60); do account "$i" "deliver = \"maildir:$HOME/$i\""; done
	} | write_config
	for limit in '-S -n 48' '-n 48'; do
		rm -rf -- "$STATE" [1-9]*
		run --separate-stderr bash -c "ulimit $limit && exec timeout -k 5 60 $POPHAUL --quiet"
		assert_status 0
		assert_equal "$stderr" ''
		assert_equal "$(count_files [1-9]*/new)" 60
	done
}
