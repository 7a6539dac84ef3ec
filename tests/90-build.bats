#!/usr/bin/env bats
# The doors of the project: install-deps against the package managers of five
# systems (all of them stubs), run-tests, and make's install, dist and flags.

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	BUILD=${BUILD:-$TOP/build}
	unset MAKELEVEL MAKEFLAGS MFLAGS PREFIX DESTDIR CFLAGS SANITIZE WERROR
}

# A machine of its own: PATH leads to $BIN alone, absolute paths to $ROOT. Whatever
# is run there as a package manager is written to $CALLS and makes everything appear.
make_machine() {
	ROOT=$BATS_TEST_TMPDIR/root
	BIN=$ROOT/bin
	CALLS=$BATS_TEST_TMPDIR/calls
	mkdir -p "$BIN" "$ROOT/usr/lib" "$ROOT/var/lib"
	: > "$CALLS"
	for tool in sh cat sort tr find env mkdir touch chmod; do
		ln -s "$(command -v "$tool")" "$BIN/$tool"
	done
	stub id 'echo 0'
}

# stub NAME BODY: a command of the machine, in place of what is there (which may be a link).
stub() {
	rm -f "$BIN/$1"
	printf '#!%s\n%s\n' "$(command -v sh)" "$2" > "$BIN/$1"
	chmod +x "$BIN/$1"
}

# A script that makes all that is asked for appear on the machine, as commands that do nothing.
install_everything() {
	cat <<-'SH'
		[ -e "$BIN/bats" ] || printf '#!%s\necho Bats 1.8.2\n' "$SH" > "$BIN/bats"
		for command in cc make pkg-config certtool bash bats dovecot procmail maildrop python3 \
			openssl faketime strace valgrind script timeout readelf git clang-format clang-tidy cppcheck \
			shellcheck mandoc ctags clang afl-fuzz krb5kdc kadmin.local kadmind kinit \
			curl softhsm2-util; do
			[ -e "$BIN/$command" ] || printf '#!%s\n' "$SH" > "$BIN/$command"
			chmod +x "$BIN/$command"
		done
		mkdir -p "$ROOT/usr/lib/sasl2" "$ROOT/usr/lib/dovecot/modules/auth"
		touch "$ROOT"/usr/lib/sasl2/libplain.so "$ROOT"/usr/lib/sasl2/libscram.so "$ROOT"/usr/lib/sasl2/libgssapiv2.so
		touch "$ROOT/usr/lib/libnss_wrapper.so" "$ROOT/usr/lib/dovecot/pop3-login" "$ROOT/usr/lib/dovecot/modules/auth/libmech_gssapi.so"
	SH
}

# stub_manager NAME: `NAME … install …` (or its like) makes everything appear.
stub_manager() {
	stub "$1" "echo \"$1 \$*\" >> \"\$CALLS\"
case \" \$* \" in *' install '*|*' add '*|*' -S '*|*' -Sy '*)
$(install_everything)
esac"
}

install_deps() {
	run env -i PATH="$BIN" ROOT="$ROOT" BIN="$BIN" CALLS="$CALLS" SH="$(type -P sh)" \
		POPHAUL_DEPS_ROOT="$ROOT" "$BIN/sh" "$TOP/contrib/install-deps" "$@"
}

give_everything() {
	env ROOT="$ROOT" BIN="$BIN" SH="$(type -P sh)" sh -c "$(install_everything)"
}

give_fresh_apt_lists() {
	mkdir -p "$ROOT/var/lib/apt/lists"
	touch "$ROOT/var/lib/apt/lists/deb.example.org_Packages"
}

@test "install-deps is silent and calls nobody when all is there" {
	make_machine
	stub_manager apt-get
	give_everything
	install_deps build test lint
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	[ -z "$output" ]
	[ ! -s "$CALLS" ]
}

@test "install-deps is quick when all is there: a handful of processes tell" {
	make_machine
	give_everything
	for command in "$BIN"/*; do
		[ "${command##*/}" != sh ] || continue
		mv "$command" "$command.real"
		stub "${command##*/}" "echo \"\${0##*/}\" >> \"\$CALLS\"; exec \"\$0.real\" \"\$@\""
	done
	install_deps build test lint
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	grep -qx pkg-config "$CALLS"
	[ "$(wc -l < "$CALLS")" -le 5 ] || { cat "$CALLS"; false; }
}

@test "install-deps updates apt's lists when there are none, then installs without recommendations" {
	make_machine
	stub_manager apt-get
	install_deps build
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	[ "$(sed -n 1p "$CALLS")" = 'apt-get update -qq' ]
	run -0 sed -n 2p "$CALLS"
	[[ $output == 'apt-get install -y -qq --no-install-recommends '* ]]
	[[ $output == *' gcc gnutls-bin libc6-dev libconfuse-dev libgnutls28-dev libsasl2-dev libsasl2-modules libseccomp-dev make pkg-config' ]]
	[ "$(wc -l < "$CALLS")" -eq 2 ]
}

@test "install-deps leaves fresh apt lists alone" {
	make_machine
	stub_manager apt-get
	give_fresh_apt_lists
	install_deps build
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	run -1 grep update "$CALLS"
}

@test "install-deps says what is missing and what it installs" {
	make_machine
	stub_manager apt-get
	install_deps build
	[[ $output == *'missing on this machine:'* ]]
	[[ $output == *'GnuTLS 3.7 or later'* ]]
	[[ $output == *'installing with apt-get: gcc '* ]]
}

@test "install-deps asks only for what is missing" {
	make_machine
	stub_manager apt-get
	give_fresh_apt_lists
	give_everything
	rm "$BIN/procmail" "$BIN/faketime"
	install_deps test
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	[[ $(cat "$CALLS") == *'Use-Pty=0 faketime procmail' ]]
}

@test "install-deps knows the packages of dnf, apk, pacman and zypper" {
	while read -r manager command packages; do
		make_machine
		stub_manager "$manager"
		install_deps build
		[ "$status" -eq 0 ] || { echo "$manager: status $status: $output" && return 1; }
		calls=$(cat "$CALLS")
		[[ $calls == "$manager $command"* ]] || { echo "$manager: $calls" && return 1; }
		for package in $packages; do
			[[ " $calls " == *" $package "* ]] || { echo "$manager lacks $package: $calls" && return 1; }
		done
		rm -rf "$ROOT"
	done <<-'TABLE'
		dnf install gcc make pkgconf-pkg-config gnutls-devel cyrus-sasl-devel libconfuse-devel libseccomp-devel gnutls-utils
		apk add gcc musl-dev make pkgconf gnutls-dev cyrus-sasl-dev confuse-dev libseccomp-dev gnutls-utils
		pacman -Sy gcc make pkgconf gnutls libsasl confuse libseccomp
		zypper --quiet gcc make pkgconf-pkg-config libgnutls-devel cyrus-sasl-devel libconfuse-devel libseccomp-devel gnutls
	TABLE
}

@test "install-deps fuzz brings clang with the libraries of its sanitizers, and AFL++" {
	make_machine
	stub_manager apt-get
	give_everything
	give_fresh_apt_lists
	# A clang that cannot link a fuzzer, until the packages are there.
	stub clang 'case " $* " in *fuzzer*) grep -qs " install " "$CALLS" ;; esac'
	rm "$BIN/afl-fuzz"
	ln -s "$(command -v grep)" "$BIN/grep"
	install_deps fuzz
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	[[ $(cat "$CALLS") == *" afl++ clang libclang-rt-dev" ]]
	[[ $output == *"clang with libFuzzer"*"AFL++"* ]]
	install_deps fuzz
	[ -z "$output" ]
}

@test "install-deps uses sudo when not root" {
	make_machine
	stub id 'echo 1000'
	stub sudo 'echo "sudo $1" >> "$CALLS"; exec "$@"'
	stub_manager dnf
	install_deps build
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	[ "$(sed -n 1p "$CALLS")" = 'sudo dnf' ]
}

@test "install-deps without root and sudo names the command to run as root, and fails" {
	make_machine
	stub id 'echo 1000'
	stub_manager dnf
	install_deps build
	[ "$status" -eq 1 ]
	[[ $output == *'as root, run: dnf install '*'gnutls-devel'* ]]
	[ ! -s "$CALLS" ]
}

@test "install-deps on an unknown system names what is needed, and fails" {
	make_machine
	install_deps test
	[ "$status" -eq 1 ]
	[[ $output == *'a C compiler'*'libconfuse'*'Dovecot with POP3'*'no package manager that is known here'* ]]
}

@test "install-deps names what a package manager could not bring, and fails" {
	make_machine
	stub apk 'echo "apk $*" >> "$CALLS"; exit 3'
	give_everything
	rm "$BIN/procmail"
	install_deps test
	[ "$status" -eq 1 ]
	[[ $output == *'apk failed with status 3'*'still missing'*'procmail'* ]]
}

@test "install-deps fails when the packages came but do not bring what is needed" {
	make_machine
	stub apk 'echo "apk $*" >> "$CALLS"'
	give_everything
	stub pkg-config 'exit 1'
	install_deps build
	[ "$status" -eq 1 ]
	[[ $output == *'still missing'*'GnuTLS 3.7 or later'* ]]
}

@test "install-deps says of what version a library is that is too old, and fails" {
	make_machine
	stub_manager apt-get
	give_fresh_apt_lists
	give_everything
	stub pkg-config "case \"\$*\" in
		'--exists gnutls'*) exit 1 ;;
		'--modversion gnutls') echo 3.6.13 ;;
	esac"
	install_deps build
	[ "$status" -eq 1 ]
	[[ $output == *'still missing'*'GnuTLS 3.7 or later, to build with (too old here: 3.6.13)'* ]]
	[[ $output != *libconfuse,* ]]
}

@test "install-deps takes no bats older than 1.5" {
	for version in 0.4.0 1.2.1 1.4.1; do
		make_machine
		stub_manager apt-get
		give_everything
		stub bats "echo Bats $version"
		install_deps -n test
		[ "$status" -eq 1 ] || { echo "$version: status $status" && return 1; }
		[[ $output == *"bats 1.5 or later (too old here: Bats $version)"* ]] || { echo "$output" && return 1; }
		rm -rf "$ROOT"
	done
	for version in 1.5 1.5.0 1.11.0 2.0; do
		make_machine
		give_everything
		stub bats "echo Bats $version"
		install_deps -n test
		[ "$status" -eq 0 ] || { echo "$version: $output" && return 1; }
		rm -rf "$ROOT"
	done
}

@test "install-deps keeps a new Dovecot and new Kerberos servers from being started, now and at the next boot" {
	make_machine
	stub_manager apt-get
	stub systemctl 'echo "systemctl $*" >> "$CALLS"'
	stub update-rc.d 'echo "update-rc.d $*" >> "$CALLS"'
	give_fresh_apt_lists
	give_everything
	rm "$BIN/dovecot" "$BIN/krb5kdc" "$BIN/kadmind" "$BIN/kadmin.local"
	install_deps test
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	sed -i 's/^apt-get install.*/apt-get install/' "$CALLS"
	diff -u "$CALLS" - <<-'CALLS'
		systemctl --quiet mask dovecot.service dovecot.socket
		systemctl --quiet mask krb5-admin-server.service
		systemctl --quiet mask krb5-kdc.service
		apt-get install
		systemctl --quiet unmask dovecot.service dovecot.socket
		systemctl --quiet disable dovecot.service dovecot.socket
		update-rc.d dovecot disable
		systemctl --quiet unmask krb5-admin-server.service
		systemctl --quiet disable krb5-admin-server.service
		update-rc.d krb5-admin-server disable
		systemctl --quiet unmask krb5-kdc.service
		systemctl --quiet disable krb5-kdc.service
		update-rc.d krb5-kdc disable
	CALLS
}

@test "install-deps leaves the service of a Dovecot alone that was there before" {
	make_machine
	stub_manager apt-get
	stub systemctl 'echo "systemctl $*" >> "$CALLS"'
	give_fresh_apt_lists
	give_everything
	rm "$ROOT/usr/lib/dovecot/pop3-login"
	install_deps test
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	[[ $(cat "$CALLS") == 'apt-get install '*' dovecot-pop3d' ]]
}

@test "install-deps -n says what is missing and installs nothing" {
	make_machine
	stub_manager apt-get
	install_deps -n build
	[ "$status" -eq 1 ]
	[[ $output == *'packages of apt-get: gcc '* ]]
	[ ! -s "$CALLS" ]
}

@test "install-deps refuses a kind that it does not know" {
	make_machine
	install_deps everything
	[ "$status" -eq 64 ]
	[[ $output == usage:* ]]
}

# run_tests FILE…: run-tests as from a shell, without what this bats has set for itself.
run_tests() {
	run env -i PATH="${PATH#"$BATS_LIBEXEC:"}" HOME="$HOME" BUILD="$BATS_TEST_TMPDIR/build" \
		"$TOP/contrib/run-tests" "$@"
}

@test "run-tests counts what passed, failed and was skipped, and fails when something failed" {
	printf '@test "a" { true; }\n@test "b" { false; }\n' > "$BATS_TEST_TMPDIR/a.bats"
	printf '@test "c" { true; }\n@test "d" { skip "why"; }\n' > "$BATS_TEST_TMPDIR/b.bats"
	run_tests "$BATS_TEST_TMPDIR/a.bats" "$BATS_TEST_TMPDIR/b.bats"
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = '2 passed, 1 failed, 1 skipped' ]
}

@test "run-tests ends with status 0 when all passed" {
	printf '@test "a" { true; }\n' > "$BATS_TEST_TMPDIR/a.bats"
	run_tests "$BATS_TEST_TMPDIR/a.bats"
	[ "$status" -eq 0 ] || { echo "$output"; false; }
	[ "${lines[-1]}" = '1 passed, 0 failed' ]
}

@test "run-tests fails on a file without tests" {
	echo '# nothing' > "$BATS_TEST_TMPDIR/a.bats"
	run_tests "$BATS_TEST_TMPDIR/a.bats"
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = '0 passed, 1 failed' ]
}

@test "run-tests fails when fewer tests ran than were announced" {
	printf 'setup_file() { false; }\n@test "a" { true; }\n@test "b" { true; }\n' > "$BATS_TEST_TMPDIR/a.bats"
	run_tests "$BATS_TEST_TMPDIR/a.bats"
	[ "$status" -eq 1 ]
	[[ $output == *'1 of 2 tests ran'* ]]
}

@test "run-tests shows what a unit test printed when it fails" {
	mkdir -p "$BATS_TEST_TMPDIR/build/tests/unit"
	printf '#!/bin/sh\necho "x.c:1: failed: one == two"\nexit 1\n' > "$BATS_TEST_TMPDIR/build/tests/unit/x_test"
	chmod +x "$BATS_TEST_TMPDIR/build/tests/unit/x_test"
	touch "$BATS_TEST_TMPDIR/x_test.c"
	run_tests "$BATS_TEST_TMPDIR/x_test.c"
	[ "$status" -eq 1 ]
	[[ $output == *'not ok 1 unit: x_test'*'# x.c:1: failed: one == two'* ]]
	[ "${lines[-1]}" = '0 passed, 1 failed' ]
}

@test "run-tests refuses a test that is not there" {
	run_tests tests/no-such-test.bats
	[ "$status" -eq 66 ]
}

# ci CHECK-LINES CHECK-STATUS LINT-LINES LINT-STATUS: .ci/run with a make that answers so.
ci() {
	mkdir -p "$BATS_TEST_TMPDIR/ci/.ci" "$BATS_TEST_TMPDIR/bin"
	cp "$TOP/.ci/run" "$BATS_TEST_TMPDIR/ci/.ci/run"
	cat > "$BATS_TEST_TMPDIR/bin/make" <<-SH
		#!/bin/sh
		[ "\$2" = WERROR=1 ] || exit 99
		case \$1 in
		check) printf '$1'; exit $2 ;;
		lint) printf '$3'; exit $4 ;;
		esac
		exit 99
	SH
	chmod +x "$BATS_TEST_TMPDIR/bin/make"
	run env PATH="$BATS_TEST_TMPDIR/bin:$PATH" "$BATS_TEST_TMPDIR/ci/.ci/run"
}

@test "CI's last line counts lint and tests" {
	ci 'ok 1 x\n# 1 files\n30 passed, 0 failed, 2 skipped\n' 0 'ok tidy\nlint: 12 passed, 0 failed\n' 0
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = '42 passed, 0 failed, 2 skipped' ]
}

@test "CI fails when lint fails" {
	ci '30 passed, 0 failed\n' 0 'lint: 11 passed, 1 failed\n' 2
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = '41 passed, 1 failed' ]
}

@test "CI fails when a test fails" {
	ci '29 passed, 1 failed\n' 2 'lint: 12 passed, 0 failed\n' 0
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = '41 passed, 1 failed' ]
}

@test "CI fails when the build fails" {
	ci 'error\n' 2 'lint: 12 passed, 0 failed\n' 0
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = '12 passed, 1 failed' ]
}

@test "the demo fetches each sample message once into each destination" {
	mkdir -p "$BATS_TEST_TMPDIR/build/tests/fakepop"
	ln -s "$BUILD/pophaul" "$BATS_TEST_TMPDIR/build/pophaul"
	ln -s "$BUILD/tests/fakepop/fakepop" "$BATS_TEST_TMPDIR/build/tests/fakepop/fakepop"
	BUILD=$BATS_TEST_TMPDIR/build run -0 timeout -k 1 60 "$TOP/contrib/demo" 3>&-
	[[ $output == *'first run:'*'second run:'*'still '*' messages in each'* ]]
	[[ $output == *"$BATS_TEST_TMPDIR/build/demo/pophaul.conf"* ]]
}

# The program as it is built: other tests are using it.
make_as_built() {
	make -s -C "$TOP" BUILD="$BUILD" -o "$BUILD/pophaul" "$@"
}

@test "make install puts everything below DESTDIR and PREFIX, make uninstall takes it back" {
	dest=$BATS_TEST_TMPDIR/dest
	make_as_built install DESTDIR="$dest" PREFIX=/opt/mail
	(cd "$dest" && find . -type f | LC_ALL=C sort) > "$BATS_TEST_TMPDIR/files"
	diff -u - "$BATS_TEST_TMPDIR/files" <<-'FILES'
		./opt/mail/bin/pophaul
		./opt/mail/lib/systemd/user/pophaul.service
		./opt/mail/lib/systemd/user/pophaul.timer
		./opt/mail/share/doc/pophaul/COPYING
		./opt/mail/share/doc/pophaul/README
		./opt/mail/share/doc/pophaul/oauth2/README
		./opt/mail/share/doc/pophaul/oauth2/oauth2-token
		./opt/mail/share/doc/pophaul/sample.conf
		./opt/mail/share/man/man1/pophaul.1
		./opt/mail/share/man/man5/pophaul.conf.5
	FILES
	timeout -k 1 10 "$dest/opt/mail/bin/pophaul" --version
	grep -x 'ExecStart=/opt/mail/bin/pophaul' "$dest/opt/mail/lib/systemd/user/pophaul.service"
	make_as_built uninstall DESTDIR="$dest" PREFIX=/opt/mail
	[ -z "$(find "$dest" -type f)" ]
}

@test "make takes its folders from the command line alone, not from the environment" {
	run -0 env BUILD=/precious DOCDIR=/precious BINDIR=/precious make -n -C "$TOP" install uninstall clean
	[[ $output == *"rm -rf 'build'"* ]]
	[[ $output != */precious* ]]
	run -0 make -n -C "$TOP" BUILD=elsewhere DOCDIR=/doc clean uninstall
	[[ $output == *"rm -rf 'elsewhere'"*"'/doc/README'"* ]]
}

@test "make clean removes what make has built, and no other folder" {
	folder=$BATS_TEST_TMPDIR/folder
	run -0 make -s -C "$TOP" clean BUILD="$folder"
	mkdir "$folder"
	touch "$folder/precious"
	run -2 make -s -C "$TOP" clean BUILD="$folder"
	[[ $output == *"clean: '$folder' is not a folder that make has built"* ]]
	[ -e "$folder/precious" ]
	echo 'mine' > "$folder/flags"
	run -2 make -s -C "$TOP" clean BUILD="$folder"
	[ -e "$folder/precious" ]
	run -0 make -s -C "$TOP" BUILD="$folder" "$folder/flags"
	touch "$folder/Makefile"
	run -2 make -s -C "$TOP" clean BUILD="$folder"
	[ -e "$folder/precious" ]
	rm "$folder/Makefile"
	run -0 make -s -C "$TOP" clean BUILD="$folder"
	[ ! -e "$folder" ]
}

@test "make uninstall leaves what others put beside our files" {
	dest=$BATS_TEST_TMPDIR/dest
	mkdir -p "$dest/usr/local/share/doc/pophaul"
	touch "$dest/usr/local/share/doc/pophaul/notes"
	make_as_built install DESTDIR="$dest"
	make_as_built uninstall DESTDIR="$dest"
	[ "$(find "$dest" -type f)" = "$dest/usr/local/share/doc/pophaul/notes" ]
	rm "$dest/usr/local/share/doc/pophaul/notes"
	make_as_built uninstall DESTDIR="$dest"
	[ ! -e "$dest/usr/local/share/doc/pophaul" ]
	# And where nothing is installed there is nothing to complain of.
	run -0 make_as_built uninstall DESTDIR="$dest"
}

# A copy of what make looks at when it starts, with an install-deps that tells of being called.
make_copy() {
	COPY=$BATS_TEST_TMPDIR/copy
	mkdir -p "$COPY/contrib"
	cp "$TOP/Makefile" "$COPY"
	ln -s "$TOP/src" "$TOP/tests" "$COPY"
	printf '#!/bin/sh\necho "install-deps $*" >> "%s/calls"\n' "$COPY" > "$COPY/contrib/install-deps"
	chmod +x "$COPY/contrib/install-deps"
	: > "$COPY/calls"
}

@test "make installs packages for demo, check and lint, and none when it only looks" {
	make_copy
	for option in -n -sn --dry-run -q --question; do
		KINDS=build run make -C "$COPY" $option demo check lint
		[ "$status" -le 1 ] || { echo "$option: $output" && return 1; }
	done
	make -C "$COPY" help > /dev/null
	[ ! -s "$COPY/calls" ] || { cat "$COPY/calls"; false; }
	sed -i -E 's/^(demo|check|lint): .*/\1:/; s/^\t@BUILD=.*/\t@:/' "$COPY/Makefile"
	make -s -C "$COPY" demo
	make -s -C "$COPY" check NOTE='nothing and quiet'
	make -s -C "$COPY" lint check
	diff -u "$COPY/calls" - <<-'CALLS'
		install-deps build
		install-deps test
		install-deps test lint
	CALLS
}

@test "make takes WERROR=0, SANITIZE=0 and V=0 for no, flags with blanks and quotes for what they are" {
	object=$BATS_TEST_TMPDIR/src/base/clock.o
	build() { make -C "$TOP" BUILD="$BATS_TEST_TMPDIR" "$@" "$object"; }
	run -0 build WERROR=0 SANITIZE=0 V=0
	[[ $output == *'CC   src/base/clock.c'* ]]
	run -1 grep -e "-Werror " -e -fsanitize "$BATS_TEST_TMPDIR/flags"
	run -0 build WERROR=1 SANITIZE= CFLAGS="-O1 -DX='\"a  b\"' -DY=1,2"
	grep -e "-Werror " "$BATS_TEST_TMPDIR/flags" | grep -F -e "-DX='\"a  b\"' -DY=1,2"
	run -0 build WERROR=1 SANITIZE= CFLAGS="-O1 -DX='\"a  b\"' -DY=1,2"
	[[ $output != *'CC '* ]]
	for flags in '-g -O0' '-O2 -D_FORTIFY_SOURCE=1'; do
		run -0 build WERROR=1 SANITIZE= CFLAGS="$flags"
		run -1 grep -e -D_FORTIFY_SOURCE=2 "$BATS_TEST_TMPDIR/flags"
	done
}

@test "make dist packs what is committed, and nothing that was built" {
	[ -e "$TOP/.git" ] || skip "not a git checkout"
	make -s -C "$TOP" dist BUILD="$BATS_TEST_TMPDIR"
	tar -tzf "$BATS_TEST_TMPDIR"/pophaul-*.tar.gz > "$BATS_TEST_TMPDIR/list"
	grep -qx 'pophaul-[0-9.]*/Makefile' "$BATS_TEST_TMPDIR/list"
	grep -qx 'pophaul-[0-9.]*/contrib/install-deps' "$BATS_TEST_TMPDIR/list"
	run -1 grep -E '/build/|\.o$' "$BATS_TEST_TMPDIR/list"
	make -s -C "$TOP" dist BUILD="$BATS_TEST_TMPDIR/again"
	make -s -C "$TOP" clean BUILD="$BATS_TEST_TMPDIR/again"
	[ ! -e "$BATS_TEST_TMPDIR/again" ]
}

@test "make compiles again when flags or a header have changed, and only then" {
	object=$BATS_TEST_TMPDIR/src/base/clock.o
	build() { make -C "$TOP" BUILD="$BATS_TEST_TMPDIR" WERROR= "$@" "$object"; }
	run -0 build CFLAGS=-O1
	[[ $output == *'CC   src/base/clock.c'* ]]
	run -0 build CFLAGS=-O1
	[[ $output != *'CC '* ]]
	run -0 build CFLAGS=-O0
	[[ $output == *'CC   src/base/clock.c'* ]]
	run -0 build CFLAGS=-O0 -W src/base/clock.h
	[[ $output == *'CC   src/base/clock.c'* ]]
	run -0 build CFLAGS=-O0 -W src/base/buf.h
	[[ $output != *'CC '* ]]
}

@test "make help names every target of the user's" {
	run -0 make -s -C "$TOP" help
	for target in all demo check check-crash lint install uninstall clean dist; do
		[[ $output == *"$target"* ]]
	done
}
