#!/usr/bin/env bats
# Run by root: who the processes are, whose the mail is, and what nobody can do to anybody. Needs root,
# and changes no user of the system: those that every Debian has do, their homes aside.

load helper

NSS_WRAPPER=$(find /usr/lib /usr/lib64 -name libnss_wrapper.so -print -quit 2>/dev/null)

setup() {
	[ "$(id -u)" -eq 0 ] || skip 'only root can become another user'
	default_setup
	# Others must be able to pass.
	WORLD=$(mktemp -d /tmp/pophaul-root.XXXXXX)
	SERVER_DIRS+=("$WORLD")
	chmod 711 "$WORLD"
	STATE=$WORLD/state
	cd "$WORLD" || return
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
	# Another of the same user, another account's fetcher perhaps, has no look into it.
	run ! setpriv --reuid "$(unprivileged)" --regid nogroup --clear-groups --bounding-set -all cat "/proc/$FETCHER/environ"
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
	# Its root, seen through proc(5): nothing of this machine.
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

@test "a file of TLS that its user makes a device is not read to its end by root" {
	give nobody his
	ln -s /dev/zero his/zero
	start_fakepop --tls -e 'message "Subject: a\n\na\n"'
	for option in tls-trust-file tls-cert; do
		use 'run-as = "nobody"' "deliver = \"maildir:$WORLD/his/Maildir\"" 'tls = implicit' \
			"$option = \"$WORLD/his/zero\"" 'connect-timeout = 1s' 'timeout = 1s'
		poll
		assert_status 78
		assert_equal "$stderr" "pophaul: home: $option: '$WORLD/his/zero' is not a regular file"
	done
}

@test "a key of root's is shown for no user who has only made a link to it" {
	give nobody his
	start_fakepop --tls -e 'message "Subject: a\n\na\n"'
	cat "$CERT_FILE" "$KEY_FILE" >roots.pem
	cp roots.pem his/own.pem
	cp roots.pem his/third.pem
	chmod 600 roots.pem his/*.pem
	chown nobody his/own.pem
	chown mail his/third.pem
	ln -s "$WORLD/roots.pem" his/link.pem
	with() {
		use 'run-as = "nobody"' "deliver = \"maildir:$WORLD/his/Maildir\"" 'tls = implicit' \
			"tls-trust-file = \"$CA_FILE\"" "tls-cert = \"$1\""
		poll
	}
	with "$WORLD/his/link.pem"
	assert_status 78
	assert_equal "$stderr" "pophaul: home: tls-cert: '$WORLD/his/link.pem' is root's, on a path that others can change"
	with "$WORLD/his/third.pem"
	assert_status 78
	assert_equal "$stderr" "pophaul: home: tls-cert: '$WORLD/his/third.pem' belongs neither to the user of run-as nor to root"
	with "$WORLD/his/own.pem"
	assert_status 0
	with "$WORLD/roots.pem"
	assert_status 0
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

@test "a fetcher that cannot be started is none that the poller could end: no other process is taken for it" {
	serve 'message "Subject: a\n\na\n"'
	{
		account one "deliver = \"maildir:$WORLD/Maildir\""
		account two "deliver = \"maildir:$WORLD/Maildir\""
	} | write_config
	# The first pair of the poller and of each worker is not to be had.
	run --separate-stderr strace -f -o trace -e trace=socketpair,pidfd_open,clone,fork,vfork \
		-e inject=socketpair:error=ENFILE:when=1 timeout -k 5 60 "$POPHAUL" --quiet
	assert_status 71
	[ "$(grep -c 'socketpair(.*INJECTED' trace)" -eq 2 ]
	# What is opened is nobody, or a child of somebody's here.
	sed -n 's/.*pidfd_open(\(-*[0-9]*\).*/\1/p' trace >opened
	grep -qx -e -1 opened
	sed -n 's/.*\(clone\|fork\).* = \([0-9][0-9]*\)$/\2/p' trace >children
	echo -1 >>children
	assert_equal "$(grep -vxFf children opened)" ''
}

@test "for a login with Kerberos the fetcher is the user of run-as, whose tickets it needs" {
	give mail home
	serve "touch $WORLD/there" "await $WORLD/go" 'send +OK hello' 'message "Subject: a\n\na\n"'
	use 'run-as = "mail"' "deliver = \"maildir:$FOLDER/Maildir\"" 'auth = "GSSAPI"' 'password ='
	start_run
	wait_until 10 test -e there
	find_processes
	assert_equal "$(status_of "$FETCHER" Uid)" "$(four_times "$(id -u mail)")"
	assert_equal "$(status_of "$FETCHER" Groups)" "$(id -G mail)"
	assert_equal "$(status_of "$FETCHER" CapPrm)" 0000000000000000
	assert_equal "$(status_of "$FETCHER" NoNewPrivs)" 1
	touch go
	end_run
	[ "$status" -ne 0 ]
}

# ---- whose the mail is ----

# modes FILE…: owners and modes, each once.
modes() {
	stat -c '%U %a' "$@" | sort -u
}

@test "a Maildir's mail and the state belong to the user of run-as, the deliverer is that user and no one else" {
	give mail home
	serve 'message "Subject: a\n\na\n"' 'message "Subject: b\n\nb\n"' "on RETR 2 touch $WORLD/there; await $WORLD/go; normal"
	use 'run-as = "mail"' "deliver = \"maildir:$FOLDER/Maildir\""
	# Groups that mail is not in.
	setpriv --groups 1,4,60 "$POPHAUL" </dev/null >run.out 2>run.err 3>&- &
	RUN=$!
	SERVER_PIDS+=("$RUN")
	wait_until 10 test -e there
	WORKER=$(child_of "$RUN")
	assert_equal "$(status_of "$WORKER" Uid)" "$(four_times "$(id -u mail)")"
	assert_equal "$(status_of "$WORKER" Gid)" "$(four_times "$(id -g mail)")"
	assert_equal "$(status_of "$WORKER" Groups)" "$(id -G mail)"
	assert_equal "$(status_of "$WORKER" CapPrm)" 0000000000000000
	assert_equal "$(status_of "$WORKER" Umask)" 0077
	assert_equal "$(readlink "/proc/$WORKER/cwd")" "$(readlink -f ~mail)"
	# Nor may another process of that user look into it.
	run ! setpriv --reuid mail --regid mail --clear-groups cat "/proc/$WORKER/environ"
	touch go
	end_run
	assert_status 0
	assert_equal "$(count_files home/Maildir/new)" 2
	assert_equal "$(modes home/Maildir home/Maildir/new)" 'mail 700'
	assert_equal "$(modes home/Maildir/new/*)" 'mail 600'
	assert_equal "$(stat -c '%U %G %a' "$STATE/mail")" "mail $(id -gn mail) 700"
	assert_equal "$(modes "$STATE"/mail/*)" 'mail 600'
	assert_equal "$(stat -c '%U %a' "$STATE")" 'root 711'
	poll
	assert_status 0
	assert_equal "$(count_files home/Maildir/new)" 2
}

@test "an mbox, its locks and what is left of a killed session are the user's, and mail comes once" {
	give games home
	serve 'message "Subject: a\n\na\n"' 'message "Subject: b\n\nb\n"' "once on RETR 2 touch $WORLD/there; stall"
	use 'run-as = "games"' "deliver = \"mbox:$FOLDER/mbox\"" 'pipelining = off'
	start_run
	wait_until 10 test -e there
	wait_until 10 grep -qs '^Subject: a' home/mbox
	wait_until 10 grep -qs '^got' "$STATE/games/home.uidl"
	find_processes
	kill -KILL "$WORKER"
	wait_until 10 is_gone "$FETCHER"
	end_run
	assert_status 70
	poll
	assert_status 0
	assert_equal "$stderr" ''
	assert_equal "$(grep -c '^Subject: a' home/mbox)$(grep -c '^Subject: b' home/mbox)" 11
	assert_equal "$(modes home/mbox)" 'games 600'
	assert_equal "$(ls -A home)" mbox
}

@test "a command runs as the user of run-as, with that user's environment and nothing of root's" {
	give daemon home
	serve 'message "Subject: a\n\na\n"'
	use 'run-as = "daemon"' "deliver = \"pipe:sh -c 'cat >/dev/null; { id -u; id -g; id -G; umask; pwd; env; ls -l /proc/self/fd; } >$FOLDER/seen'\""
	SECRET=mine XDG_STATE_HOME=/root run --separate-stderr env LANG=C.UTF-8 setpriv --groups 4,60 "$POPHAUL"
	assert_status 0
	assert_equal "$(head -n 5 home/seen)" "$(id -u daemon; id -g daemon; id -G daemon; echo 0077; readlink -f ~daemon)"
	run cat home/seen
	assert_output_matches '^HOME=/usr/sbin$'
	assert_output_matches '^USER=daemon$'
	assert_output_matches '^LOGNAME=daemon$'
	assert_output_matches '^SHELL=/usr/sbin/nologin$'
	assert_output_matches '^PATH=/usr/local/bin:/usr/bin:/bin$'
	assert_output_matches '^POPHAUL_ACCOUNT=home$'
	assert_output_matches '^LANG=C.UTF-8$'
	refute_output_has SECRET
	refute_output_has XDG_
	refute_output_has socket
}

@test "a user's commands have no terminal: what they type would be typed by root, what root types be theirs" {
	give nobody home
	cat >typist <<-'EOF'
		#!/usr/bin/env python3
		import fcntl, os, sys, termios
		said = open(sys.argv[1], "w")
		for path in "/dev/tty", "/dev/fd/2":
		    try:
		        terminal = os.open(path, os.O_RDWR | os.O_NOCTTY) if path == "/dev/tty" else 2
		        fcntl.ioctl(terminal, termios.TIOCSTI, b"x")
		        print("typed at", path, file=said)
		    except OSError:
		        print("nothing typed at", path, file=said)
		print("writes only" if fcntl.fcntl(2, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY else "reads", file=said)
		if sys.argv[2:]:
		    print(os.isatty(2), file=said)
		    print("secret")
	EOF
	chmod 755 typist
	serve 'message "Subject: a\n\na\n"'
	use 'run-as = "nobody"' "deliver = \"pipe:$WORLD/typist $FOLDER/piped\"" 'password =' \
		"password-command = \"$WORLD/typist $FOLDER/asked password\""
	run timeout -k 5 60 python3 -c 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))' \
		"$POPHAUL" </dev/null
	assert_status 0
	assert_output_has '1 message'
	assert_equal "$(cat home/asked)" $'nothing typed at /dev/tty\nnothing typed at /dev/fd/2\nwrites only\nTrue'
	assert_equal "$(cat home/piped)" $'nothing typed at /dev/tty\nnothing typed at /dev/fd/2\nwrites only'
}

@test "a command of root's has to be said to be: status 78, with the line and what to do" {
	serve 'message "Subject: a\n\na\n"'
	printf 'account "home" {\n\thost = "%s" port = %s tls = "none" user = "jane"\n\tpassword = "secret" deliver = "pipe:id -u"\n}\n' "$HOST" "$PORT" | write_config
	poll
	assert_status 78
	assert_equal "$stderr" "$CONF:1: account 'home' would run a command as root: say whose mail it is with run-as = \"USER\" (or with run-as = \"root\" that it has to be root)"
	poll -t
	assert_status 78
	use
	poll --deliver pipe:id
	assert_status 78
	assert_stderr_has "pophaul: account 'home' would run a command as root: "
	poll --deliver pipe:id "pop://jane@$HOST:$PORT"
	assert_status 78
	use 'run-as = "root"' "deliver = \"pipe:sh -c 'cat >/dev/null; id -u >$WORLD/seen'\""
	poll
	assert_status 0
	assert_equal "$(cat seen)" 0
	assert_equal "$(count_sessions)" 1
}

@test "a user that is not there, or whom only root can become, is refused with its line" {
	PORT=1 SERVER_TLS=none
	use 'run-as = "no-such-user"'
	poll -t
	assert_status 78
	assert_equal "$stderr" "$CONF:2: run-as: there is no user 'no-such-user' on this system"
	use 'run-as = "games"'
	cp "$CONF" there.conf
	chown mail: there.conf
	run --separate-stderr setpriv --reuid mail --regid mail --clear-groups env -u HOME timeout 20 "$BUILD/pophaul" -t -c "$WORLD/there.conf"
	assert_status 78
	assert_stderr_has "there.conf:2: run-as: only root can fetch mail for others, and this is not run by root"
	sed -i 's/games/mail/' there.conf
	run --separate-stderr setpriv --reuid mail --regid mail --clear-groups timeout 20 "$BUILD/pophaul" -t -c "$WORLD/there.conf"
	assert_status 0
}

@test "~ is the home of run-as, wherever in the file that stands, and root's without it" {
	[ -e "$NSS_WRAPPER" ] || skip 'no libnss-wrapper here'
	# It loads another C library, behind the back of what AddressSanitizer has put before ours.
	! grep -qa __asan_init "$BUILD/pophaul" || skip 'built with AddressSanitizer'
	give nobody home
	printf 'jane:x:%s:%s::%s:/bin/sh\n' "$(id -u nobody)" "$(id -g nobody)" "$FOLDER" | cat /etc/passwd - >passwd
	cp /etc/group group
	serve 'message "Subject: a\n\na\n"'
	printf 'secret\n' >home/password
	chown nobody: home/password
	chmod 600 home/password
	{
		echo 'defaults { deliver = "maildir:~/Default" }'
		account one 'password-file = "~/password"' 'password =' 'deliver = "maildir:~/Maildir"' 'run-as = "jane"'
		account two 'run-as = "jane"' 'deliver ='
		account three 'deliver ='
	} | write_config
	LD_PRELOAD=$NSS_WRAPPER NSS_WRAPPER_PASSWD=$WORLD/passwd NSS_WRAPPER_GROUP=$WORLD/group \
		run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(count_files home/Maildir/new)$(count_files home/Default/new)$(count_files "$HOME/Default/new")" 111
	assert_equal "$(stat -c '%u %a' home/Maildir/new/*)" "$(id -u nobody) 600"
	assert_equal "$(stat -c '%u' "$HOME"/Default/new/*)" 0
}

# ---- whose the state is ----

# now_for USER: the account is that user's from now on, root's for root.
now_for() {
	use "run-as = \"$1\"" "deliver = \"mbox:$WORLD/$1/mbox\""
}

@test "a state goes with its account from root to a user, to another and back: no mail comes again" {
	local user

	give games games
	give mail mail
	mkdir root
	serve 'message "Subject: a\n\na\n"' 'message "Subject: b\n\nb\n"'
	LAST=/nowhere
	for user in root games mail root mail; do
		now_for "$user"
		: | tee "$STATE"/home.ticket "$STATE"/*/home.ticket >/dev/null 2>&1 || :
		poll -v
		assert_status 0
		[ "$user" = root ] && FOLDER=$STATE || FOLDER=$STATE/$user
		assert_equal "$(find "$STATE" -name '*.uidl*')" "$FOLDER/home.uidl"
		assert_equal "$(modes "$FOLDER/home.uidl")" "$user 600"
		[ ! -e "$LAST/home.ticket" ] || fail "a ticket stays in $LAST"
		LAST=$FOLDER
	done
	assert_stderr_has "the state was that of user 'root' and is taken over"
	assert_equal "$(grep -hc '^Subject' root/mbox games/mbox mail/mbox 2>/dev/null)" 2
	assert_equal "$(cat "$STATE/home.user")" mail
	# A look changes nothing, and says so.
	now_for games
	poll -nv
	assert_status 75
	assert_stderr_has "pophaul: home: its state is still that of user 'mail': the next run that fetches takes it over"
	assert_equal "$(find "$STATE" -name '*.uidl')" "$STATE/mail/home.uidl"
}

# start_stopped CONFIGURATION INJECTION WHO…: a run that stops at a system call; the processes are STOPPED.
start_stopped() {
	strace -f -o trace -e trace="${2%%:*}" -e inject="$2:signal=SIGSTOP:when=1" \
		timeout -k 5 60 "$POPHAUL" -c "$1" --quiet </dev/null >run.out 2>run.err 3>&- &
	RUN=$!
	SERVER_PIDS+=("$RUN")
	wait_until 10 eval "[ \"\$(grep -cs 'stopped by SIGSTOP' trace)\" -eq $3 ]"
	mapfile -t STOPPED < <(sed -n 's/ .*stopped by SIGSTOP.*//p' trace)
}

@test "a run that is about to open a state where another configuration has it: no mail comes again" {
	give nobody his
	give mail hers
	mails 1 2
	serve "${MAILS[@]}"
	use 'run-as = "mail"' "deliver = \"maildir:$WORLD/hers/Maildir\""
	cp "$CONF" new
	use 'run-as = "nobody"' "deliver = \"maildir:$WORLD/his/Maildir\""
	cp "$CONF" old
	use "deliver = \"maildir:$WORLD/Maildir\""
	poll -c "$CONF"
	assert_status 0
	# Root's, before it has the lock: it sees that the state has gone.
	start_stopped "$CONF" flock:error=EINTR 1
	poll -c old
	assert_status 0
	kill -CONT "${STOPPED[@]}"
	end_run
	assert_status 75
	assert_equal "$(count_files Maildir/new) $(count_files his hers)" '2 0'
	# A user's, before it is the user: nobody takes the state.
	start_stopped old setresuid 2
	poll -c new
	assert_status 75
	kill -CONT "${STOPPED[@]}"
	end_run
	assert_status 0
	poll -c new
	assert_status 0
	poll -c "$CONF"
	assert_status 0
	assert_equal "$(count_files Maildir/new) $(count_files his/Maildir/new hers/Maildir/new)" '2 0'
}

@test "a state is taken over whole, at whatever step the one before has died" {
	local call

	give games games
	serve 'messages 3'
	for call in mkdirat:1 fchown:1 fsync:1 renameat:1 fsync:2 fsync:3 unlinkat:1 fchown:2 fsync:4 renameat:2 fsync:5 \
		rename:1 fsync:7 unlinkat:2 fsync:8; do
		rm -rf "$STATE" games/mbox
		: >games/mbox
		chown games: games/mbox
		use 'run-as = "root"' "deliver = \"mbox:$WORLD/root-mbox\""
		rm -f root-mbox
		poll
		assert_status 0
		now_for games
		strace -f -o trace -e trace="${call%:*}" -e inject="${call%:*}:signal=KILL:when=${call#*:}" \
			timeout -k 5 60 "$POPHAUL" >/dev/null 2>&1 || :
		grep -q 'killed by SIGKILL' trace || fail "$call is never made"
		run --separate-stderr pophaul
		assert_status 0
		assert_equal "$call: $(grep -c ^Subject games/mbox)" "$call: 0"
		assert_equal "$(find "$STATE" -name '*.uidl*')" "$STATE/games/home.uidl"
		assert_equal "$(cat "$STATE/home.user")" games
	done
}

@test "what a user's state says of a session that died cuts no mailbox of whoever gets the state" {
	local died='10 9f86d081884c7d659a2feaa0c55ad015 uid-9'

	give nobody his
	give mail hers
	mails 1
	serve "${MAILS[@]}"
	printf 'From x Thu Jan  1 00:00:05 1970\nSubject: a mail of root\n\n' >mbox
	cp mbox before
	use 'run-as = "nobody"' "deliver = \"maildir:$WORLD/his/Maildir\""
	poll
	assert_status 0
	# Torn, as it looks: less is there than was to come.
	printf '%s\n' "dest mbox:$WORLD/mbox" "try 0-9999-9f86d081884c7d659a2feaa0c55ad015-5-x $died" \
		>>"$STATE/nobody/home.uidl"
	use "deliver = \"maildir:$WORLD/Maildir\""
	poll
	assert_status 0
	cmp mbox before
	# A real one, in a Maildir that the next user cannot look into.
	use 'run-as = "nobody"' "deliver = \"maildir:$WORLD/his/Maildir\""
	poll
	assert_status 0
	printf '%s\n' "dest maildir:$WORLD/his/Maildir" "try 1795287600.M1P1.x,S=5 $died" >>"$STATE/nobody/home.uidl"
	use 'run-as = "mail"' "deliver = \"maildir:$WORLD/hers/Maildir\""
	poll -v
	assert_status 0
	assert_stderr_has "another user's session died while delivering 1 message: fetched once more"
	assert_equal "$(count_files Maildir/new) $(count_files hers/Maildir/new) $(count_files his/Maildir/new)" '0 0 1'
	# It is said once, and what died since then is looked for again.
	poll -v
	refute_stderr_has "another user's session"
	[ ! -e "$STATE/mail/home.taken" ]
}

@test "nobody can give another's account a state, nor root's files to himself" {
	give games games
	give mail mail
	serve 'messages 2'
	now_for games
	poll
	assert_status 0
	# What mail puts into his own folder under the name of games' account, or of a new one, is nobody's concern.
	mkdir -p "$STATE/mail"
	chmod 700 "$STATE/mail"
	cp "$STATE/games/home.uidl" "$STATE/mail/fresh.uidl"
	chown -R mail: "$STATE/mail"
	use 'run-as = "games"' "deliver = \"mbox:$WORLD/games/mbox\""
	sed -i 's/account "home"/account "fresh"/' "$CONF"
	poll
	assert_status 0
	assert_equal "$(grep -c '^Subject' games/mbox)" 4
	run ! setpriv --reuid mail --regid mail --clear-groups ls "$STATE/games"
	run ! setpriv --reuid mail --regid mail --clear-groups touch "$STATE/there"
	# The account is mail's now: what games has left in place of the state is not followed.
	printf 'root only\n' >secret
	chmod 600 secret
	rm "$STATE/games/home.uidl"
	ln -s "$WORLD/secret" "$STATE/games/home.uidl"
	chown -h games: "$STATE/games/home.uidl"
	now_for mail
	poll
	assert_status 73
	assert_stderr_has "state file '$STATE/games/home.uidl' cannot be taken over: it is no regular file of that user's"
	rm "$STATE/games/home.uidl"
	ln secret "$STATE/games/home.uidl"
	poll
	assert_status 73
	assert_equal "$(stat -c '%U %a' secret)" 'root 600'
	rm "$STATE/games/home.uidl"
	# Nor is what games has put there after the look at it, and what root then has moved.
	ln secret "$STATE/home.uidl.moving"
	poll
	assert_status 73
	assert_stderr_has "'$STATE/home.uidl.moving' is no regular file of its user's"
	[ ! -e "$STATE/mail/home.uidl" ] || fail "a file of root's was copied"
	rm "$STATE/home.uidl.moving"
	# A file full of nothing would fill root's disk.
	setpriv --reuid games --regid games --clear-groups truncate -s 2T "$STATE/games/home.uidl"
	poll
	assert_status 73
	assert_stderr_has "'$STATE/home.uidl.moving' is too big for a state"
	[ ! -e "$STATE/mail/home.uidl" ] || fail 'a file of 2 TB was copied'
	rm "$STATE/home.uidl.moving"
	mkfifo "$STATE/games/home.uidl"
	poll
	assert_status 73
	# A lock of games' that he made a link is not followed, and his folder's place not either.
	rm "$STATE/games/home.uidl" "$STATE/games/home.lock"
	cp "$STATE/games/fresh.uidl" "$STATE/games/home.uidl"
	ln -s "$WORLD/new" "$STATE/games/home.lock"
	chown -h games: "$STATE/games/home.uidl" "$STATE/games/home.lock"
	poll
	assert_status 0
	[ ! -e new ] || fail 'a link was followed'
	rm -r "$STATE/mail"
	ln -s "$WORLD/games" "$STATE/mail"
	poll
	assert_status 73
	assert_stderr_has "cannot open folder '$STATE/mail'"
	rm "$STATE/mail"
	mkdir "$STATE/mail"
	chown games: "$STATE/mail"
	poll
	assert_status 73
	assert_stderr_has "folder '$STATE/mail' does not belong to its user"
}

@test "what a user puts in place of the own state harms nobody else" {
	give games games
	serve 'messages 2'
	now_for games
	poll
	assert_status 0
	printf 'root only\n' >secret
	chmod 600 secret
	for file in home.uidl home.lock home.uidl.new; do
		rm -f "$STATE/games/home.uidl.new" "$STATE/games/$file"
		ln -s "$WORLD/secret" "$STATE/games/$file"
		poll
		assert_equal "$(stat -c '%U %a' secret) $(cat secret)" 'root 600 root only'
		rm "$STATE/games/$file" 2>/dev/null || :
	done
	# A folder of the state that others may write in is no place for root's records.
	chmod 777 "$STATE"
	poll
	assert_status 73
	assert_stderr_has "state folder '$STATE' must be root's, and nobody else's to write in, when accounts have run-as"
}

# ---- secrets ----

@test "a secret file may be root's or the user's, and root is not led to its own files by a user" {
	give games games
	serve 'message "Subject: a\n\na\n"'
	printf 'secret\n' >password
	chmod 600 password
	as_games() {
		use 'run-as = "games"' "deliver = \"mbox:$WORLD/games/mbox\"" 'password =' "$@"
		poll
	}
	as_games "password-file = \"$WORLD/password\""
	assert_status 0
	cp password games/own
	chown games: games/own
	as_games "password-file = \"$WORLD/games/own\""
	assert_status 0
	ln -s "$WORLD/password" games/link
	as_games "password-file = \"$WORLD/games/link\""
	assert_status 78
	assert_stderr_has "'$WORLD/games/link' has a password and the file is root's, on a path that others can change"
	chown mail: password
	as_games "password-file = \"$WORLD/password\""
	assert_status 78
	assert_stderr_has 'the file belongs to another user'
	# A command is the user's.
	as_games "password-command = \"sh -c 'id -un >$WORLD/games/who; echo secret'\""
	assert_status 0
	assert_equal "$(cat games/who)" games
	# And nobody is asked for another's password.
	as_games
	assert_status 77
	assert_stderr_has 'needs a password, and there is none'
}
