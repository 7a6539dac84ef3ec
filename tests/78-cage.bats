#!/usr/bin/env bats
# The cage of the process that speaks to the server: that it is in force, that nothing honest is refused in it, and what
# happens where the kernel has none. What it refuses is tried by unit/sandbox_test.c.

load helper

# traced FILE COMMAND…: as pophaul, with each call of each process in FILE.
traced() {
	local file=$1

	shift
	run --separate-stderr strace -f -qq -o "$file" "$@" timeout -k 5 60 "$BUILD/pophaul" -v
}

# Calls of the fetchers in FILE that were refused to them, once each.
refused() {
	awk '/landlock_restrict_self/ { is_fetcher[$1] = 1 }
		is_fetcher[$1] && /= -1 (EPERM|EACCES)/' "$1" | sed 's/^[0-9]* *//' | sort -u
}

# What a run says of the cage, without the numbers of kernels.
said() {
	sed -n 's/^pophaul: [^:]*: sandbox: //p' <<<"$stderr" | sed 's/ABI [0-9]*/ABI N/'
}

BOTH='step 1: Landlock ABI N, seccomp
step 2: Landlock ABI N, seccomp'

# without CALL ERROR [LINE…]: a run in a kernel where a call fails so, of an account with these lines.
without() {
	local call=$1 error=$2

	shift 2
	use "$@"
	run --separate-stderr strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:error=$error" \
		timeout -k 5 60 "$BUILD/pophaul" -v
}

# ---- where both halves are ----

@test "both steps are in force, -v tells, and nothing is refused: TLS, STLS and clear, each mechanism of Dovecot" {
	local auth

	start_dovecot
	corpus messages
	put_messages messages jane
	for auth in SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN USER APOP; do
		account "$auth" "auth = $auth" "deliver = \"maildir:$HOME/$auth\"" 'host = "localhost"' 'sandbox = require'
		account "$auth-s" "auth = $auth" "deliver = \"maildir:$HOME/$auth-s\"" 'tls = "implicit"' "port = $PORTS"
	done | write_config
	traced trace
	assert_status 0
	assert_equal "$(said | sort | uniq -c | tr -s ' ')" "$(printf ' 14 %s\n' "$(head -n 1 <<<"$BOTH")" "$(tail -n 1 <<<"$BOTH")")"
	assert_equal "$(refused trace)" ''
	for auth in SCRAM-SHA-256 APOP-s; do
		assert_maildir_has messages "$auth"
	done
}

@test "nothing is refused with a log for programs, in any time zone" {
	local zone

	start_fakepop -e 'messages 2' -e 'session 1+ on QUIT stall'
	use 'tls = none' 'timeout = 1s' 'keep = never'
	for zone in '' Europe/Berlin :/etc/localtime; do
		rm -rf "$STATE"
		run env ${zone:+TZ=$zone} strace -f -qq -o trace timeout -k 5 60 "$BUILD/pophaul" -v --log-format json
		assert_output_has '"process":"fetcher"'
		assert_equal "$zone: $(refused trace)" "$zone: "
	done
}

@test "a second connection is made in the first step, and the second one comes after it" {
	start_fakepop -e 'messages 3' -e lock-step -e 'capa +PIPELINING'
	use
	traced trace
	assert_status 0
	assert_stderr_has 'trying again in lock step'
	assert_equal "$(said)" "$BOTH"
	assert_equal "$(refused trace)" ''
	assert_equal "$(count_sessions)" 2
	assert_equal "$(count_files Maildir/new)" 3
}

@test "Kerberos leaves out the first step, and off both" {
	start_fakepop -e 'messages 1' -e 'capa +SASL GSSAPI'
	for sandbox in auto require; do
		use 'auth = GSSAPI' 'password =' "sandbox = $sandbox"
		poll -v
		[ "$status" -ne 71 ] && [ "$status" -ne 0 ]
		assert_equal "$(said)" 'step 1: left out, since this login needs files and sockets of its own'
	done
	assert_equal "$(count_sessions)" 2
	use 'sandbox = off'
	traced trace
	assert_status 0
	assert_equal "$(said)" "off, as configured
off, as configured"
	assert_equal "$(grep -cE '(landlock_restrict_self|SECCOMP_SET_MODE_FILTER).* = 0' trace)" 0
}

# ---- where a half is missing ----

@test "require fails before anything is sent where Landlock or seccomp is missing, and tells what; auto goes on" {
	local call error text

	start_fakepop -e 'messages 1'
	while IFS='|' read -r call error text; do
		rm -rf "$STATE"
		without "$call" "$error" 'sandbox = require'
		assert_status 71
		assert_stderr_has "pophaul: home: sandbox = \"require\": $text"
		assert_equal "$call $error: $(count_sessions)" "$call $error: 0"
	done <<-'EOT'
		landlock_create_ruleset|ENOSYS|no Landlock: this kernel has none (Linux 5.13 has)
		landlock_create_ruleset|EOPNOTSUPP|no Landlock: it is switched off (see lsm= of the kernel's command line)
		landlock_create_ruleset|EPERM|no Landlock: it is refused, as in some containers: Operation not permitted
		landlock_add_rule|ENOMEM|no Landlock: it cannot be put in force: Cannot allocate memory
		landlock_restrict_self|E2BIG|no Landlock: it cannot be put in force: Argument list too long
		seccomp|EPERM|no seccomp: the filter is refused: Operation not permitted
		memfd_create|EMFILE|no seccomp: libseccomp makes no filter
	EOT
	without landlock_create_ruleset ENOSYS
	assert_status 0
	assert_equal "$(said)" 'step 1: no Landlock: this kernel has none (Linux 5.13 has), seccomp
step 2: no Landlock: this kernel has none (Linux 5.13 has), seccomp'
	rm -r "$STATE"
	without seccomp EINVAL
	assert_status 0
	assert_equal "$(said)" 'step 1: Landlock ABI N, no seccomp: the filter is refused: Invalid argument
step 2: Landlock ABI N, no seccomp: the filter is refused: Invalid argument'
}

@test "require looks for the second step before a login that leaves out the first one" {
	start_fakepop -e 'messages 1' -e 'capa +SASL GSSAPI'
	without landlock_create_ruleset ENOSYS 'auth = GSSAPI' 'password =' 'sandbox = require'
	assert_status 71
	assert_stderr_has 'sandbox = "require": no Landlock: this kernel has none'
	# prctl(2) has other uses before this one.
	for n in EINVAL EPERM; do
		use 'auth = GSSAPI' 'password =' 'sandbox = require'
		traced trace -e trace=prctl
		n_th=$(awk '/PR_SET_SECCOMP/ { print n[$1] + 1; exit } { n[$1]++ }' trace)
		run --separate-stderr strace -f -qq -o /dev/null -e trace=prctl -e inject="prctl:error=$n:when=$n_th" \
			timeout -k 5 60 "$BUILD/pophaul"
		assert_status 71
		assert_stderr_has 'sandbox = "require": no seccomp: '
	done
}

@test "a second step that fails ends the session of who requires it" {
	start_fakepop -e 'messages 2' --no-pipelining
	use 'sandbox = require'
	run --separate-stderr strace -f -qq -o /dev/null -e trace=seccomp -e inject=seccomp:error=ENOMEM:when=2 \
		timeout -k 5 60 "$BUILD/pophaul"
	assert_status 71
	assert_stderr_has 'sandbox = "require": no seccomp: the filter is refused: Cannot allocate memory'
	assert_equal "$(asked 1 RETR)" ''
	use
	run --separate-stderr strace -f -qq -o /dev/null -e trace=seccomp -e inject=seccomp:error=ENOMEM:when=2 \
		timeout -k 5 60 "$BUILD/pophaul"
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 2
}

# ---- host names ----

# A name server for names in example.org: the answer is 127.0.0.1; over UDP, that of a long name is cut, so that TCP is
# asked. The argument, if there is one, is a socket where nscd would be, which hangs up. Then `ready` is made.
make_name_server() {
	cat >server.py <<-'EOF'
		import fcntl, os, select, socket, struct, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
		udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
		for one in udp, tcp:
		    one.bind(("127.0.0.1", 53))
		tcp.listen(8)
		waiting = [udp, tcp]
		if len(sys.argv) > 1:
		    nscd = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		    nscd.bind(sys.argv[1])
		    os.chmod(sys.argv[1], 0o666)
		    nscd.listen(8)
		    waiting.append(nscd)
		open("ready", "w").close()
		def answer(query, is_cut):
		    kind = struct.unpack(">H", query[query.index(b"\0", 12) + 1:][:2])[0]
		    end = query.index(b"\0", 12) + 5
		    records = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1" if kind == 1 and not is_cut else b""
		    return query[:2] + (b"\x87\x80" if is_cut else b"\x85\x80") + b"\0\1" + \
		        (b"\0\1" if records else b"\0\0") + b"\0\0\0\0" + query[12:end] + records
		while True:
		    for one in select.select(waiting, [], [])[0]:
		        if one is udp:
		            query, sender = udp.recvfrom(4096)
		            udp.sendto(answer(query, b"long" in query), sender)
		        elif one is tcp:
		            peer = tcp.accept()[0]
		            peer.settimeout(10)
		            while len(head := peer.recv(2)) == 2:
		                reply = answer(peer.recv(struct.unpack(">H", head)[0]), False)
		                peer.sendall(struct.pack(">H", len(reply)) + reply)
		        else:
		            open("nscd-asked", "w").close()
		            nscd.accept()[0].close()
	EOF
}

# In namespaces of its own, where the files of the name service are this test's: a fetch from a host of this name.
# All that is begun here ends with it.
fetch_by_name() {
	local limit=$((SECONDS + 20)) file

	for file in hosts nsswitch.conf resolv.conf; do
		mount --bind "etc/$file" "/etc/$file" || return 99
	done
	[ -z "$NSCD" ] || { mount -t tmpfs none /run && mkdir -p /run/nscd; } || return 99
	python3 server.py $NSCD </dev/null >server.out 2>&1 &
	until [ -e ready ] || [ "$SECONDS" -gt "$limit" ]; do sleep 0.02; done
	"$FAKEPOP" --ready port --transcript transcript -e 'messages 1' </dev/null >/dev/null 2>&1 &
	until [ -s port ] || [ "$SECONDS" -gt "$limit" ]; do sleep 0.02; done
	printf '%s\n' "state-dir = \"$HOME/state\"" 'account "home" {' "host = \"$1\"" "port = $(cat port)" 'tls = "none"' 'cleartext = yes' \
		'user = "jane"' 'password = "secret"' "deliver = \"maildir:$HOME/Maildir\"" 'sandbox = require' '}' >conf
	chmod 600 conf
	strace -f -qq -o trace timeout -k 5 30 "$BUILD/pophaul" -c conf -v
}

@test "names are found in the cage: by /etc/hosts, by DNS over UDP and TCP, with and without nscd" {
	local name nscd

	[ "$(id -u)" -eq 0 ] || skip 'only root can replace the files of the name service'
	unshare -nmpf --kill-child true 2>/dev/null || skip 'no namespaces here'
	[ -e /etc/hosts ] && [ -e /etc/nsswitch.conf ] && [ -e /etc/resolv.conf ] || skip 'not the files of glibc'
	mkdir etc
	printf '127.0.0.1 localhost written.example.net\n' >etc/hosts
	printf 'hosts: files dns\n' >etc/nsswitch.conf
	printf 'nameserver 127.0.0.1\noptions timeout:5 attempts:1\n' >etc/resolv.conf
	make_name_server
	export -f fetch_by_name strace
	export FAKEPOP BUILD NSCD
	for nscd in '' /run/nscd/socket; do
		for name in localhost written.example.net short.example.org long.example.org; do
			rm -rf state Maildir ready port nscd-asked
			NSCD=$nscd run --separate-stderr timeout -k 5 60 \
				unshare -nmpf --kill-child bash -c 'fetch_by_name "$1"' - "$name" 3>&-
			[ "$status" -eq 0 ] || fail "$nscd $name: $status" "$stderr" "$(cat server.out)"
			assert_equal "$nscd $name: $(count_files Maildir/new)" "$nscd $name: 1"
			assert_equal "$nscd $name: $(refused trace)" "$nscd $name: "
			[ -z "$nscd" ] || [ -e nscd-asked ] || fail "nscd was not asked for $name"
		done
	done
	# The server's port and that of DNS only.
	grep -q 'sin_port=htons(53).* = 0' trace
}
