#!/usr/bin/env bats
# Run by root: who the processes are, whose the mail is, and what nobody can do to anybody. Needs root,
# and changes no user of the system: those that every Debian has do, their homes aside.

load helper

setup() {
	[ "$(id -u)" -eq 0 ] || skip 'only root can become another user'
	default_setup
	# Others must be able to pass.
	WORLD=$(mktemp -d /tmp/pophaul-root.XXXXXX)
	SERVER_DIRS+=("$WORLD")
	chmod 711 "$WORLD"
	STATE=$WORLD/state
	cd "$WORLD"
}

# give USER NAME: a folder of that user's in the world; its path is FOLDER.
give() {
	FOLDER=$WORLD/$2
	mkdir -p "$FOLDER"
	chown "$1:" "$FOLDER"
	chmod 700 "$FOLDER"
}

# start_run OPTION…: in the background, as RUN.
start_run() {
	timeout -k 5 60 "$POPHAUL" "$@" </dev/null >run.out 2>run.err 3>&- &
	RUN=$!
	SERVER_PIDS+=("$RUN")
}

end_run() {
	status=0
	wait "$RUN" || status=$?
	output=$(cat run.out) stderr=$(cat run.err)
}

child_of() {
	tr -d ' ' <"/proc/$1/task/$1/children"
}

# POLLER, WORKER and FETCHER of the one session that runs.
find_processes() {
	POLLER=$(child_of "$RUN")
	WORKER=$(child_of "$POLLER")
	FETCHER=$(child_of "$WORKER")
}

# status_of PID KEY: the field of /proc/PID/status, blanks made one.
status_of() {
	sed -n "s/^$2:[[:blank:]]*//p" "/proc/$1/status" | tr -s '[:blank:]' ' ' | sed 's/ $//'
}

four_times() {
	echo "$1 $1 $1 $1"
}

is_gone() {
	! kill -0 "$1" 2>/dev/null || [ "$(status_of "$1" State)" = 'Z (zombie)' ]
}

# Who meets the network on this system.
unprivileged() {
	id -u pophaul 2>/dev/null || id -u nobody
}

@test "root's fetcher is nobody before the server has said a word, with one capability and no group" {
	serve "touch $WORLD/there" "await $WORLD/go" "send +OK hello" 'message "Subject: a\n\na\n"'
	use "deliver = \"maildir:$WORLD/Maildir\""
	start_run
	wait_until 10 test -e there
	find_processes
	assert_equal "$(status_of "$FETCHER" Uid)" "$(four_times "$(unprivileged)")"
	assert_equal "$(status_of "$FETCHER" Groups)" ''
	assert_equal "$(status_of "$FETCHER" NoNewPrivs)" 1
	# CAP_SYS_CHROOT, for the empty root.
	assert_equal "$(status_of "$FETCHER" CapPrm)" 0000000000040000
	assert_equal "$(status_of "$FETCHER" CapInh)" 0000000000000000
	assert_equal "$(status_of "$FETCHER" CapBnd)" 0000000000000000
	touch go
	end_run
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 1
}

@test "once logged in, root's fetcher has an empty root, without a name, and no capability" {
	serve 'message "Subject: a\n\na\n"' 'message "Subject: b\n\nb\n"' "on RETR 2 touch $WORLD/there; await $WORLD/go; normal"
	use "deliver = \"maildir:$WORLD/Maildir\""
	start_run -v
	wait_until 10 test -e there
	wait_until 10 eval '[ "$(count_files Maildir/new)" -eq 1 ]'
	find_processes
	assert_equal "$(status_of "$FETCHER" Uid)" "$(four_times "$(unprivileged)")"
	assert_equal "$(status_of "$FETCHER" CapPrm)" 0000000000000000
	[[ $(readlink "/proc/$FETCHER/root") == *' (deleted)' ]]
	assert_equal "$(ls -A "/proc/$FETCHER/root")" ''
	run ! touch "/proc/$FETCHER/root/file"
	assert_equal "$(readlink "/proc/$FETCHER/cwd")" "$(readlink "/proc/$FETCHER/root")"
	assert_equal "$(find /run /tmp -maxdepth 1 -name 'pophaul-??????' -newer "$CONF" 2>/dev/null)" ''
	touch go
	end_run
	assert_status 0
	assert_stderr_has 'the root of the file system is an empty folder'
}

@test "a file that only root can read serves TLS all the same" {
	start_fakepop --tls -e 'message "Subject: a\n\na\n"'
	cp "$CA_FILE" ca.pem
	chmod 600 ca.pem
	chmod 700 "$WORLD"
	use "deliver = \"maildir:$WORLD/Maildir\"" "tls-trust-file = \"$WORLD/ca.pem\""
	poll
	assert_status 0
	use "deliver = \"maildir:$WORLD/Maildir\"" "tls-trust-file = \"$WORLD/none.pem\""
	poll
	assert_status 78
	assert_stderr_has "pophaul: home: tls-trust-file '$WORLD/none.pem' cannot be read: No such file or directory"
}

@test "a fetcher that root's worker may not end is ended by the poller, a dead worker's too" {
	serve "touch $WORLD/there" stall
	use "deliver = \"maildir:$WORLD/Maildir\"" 'timeout = 1s' 'session-limit = 1s'
	start_run
	wait_until 10 test -e there
	find_processes
	# Deaf to its link, as one that a server has taken over would be.
	kill -STOP "$FETCHER"
	kill -KILL "$WORKER"
	wait_until 10 is_gone "$FETCHER"
	end_run
	assert_status 70
	assert_stderr_has 'the worker process was killed by signal 9 (Killed)'
}
