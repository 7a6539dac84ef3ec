#!/usr/bin/env bats
# What compiler and linker can do for a program that strangers talk to is in the default build: what
# Debian's blhc and hardening-check look for. The flags of who builds come behind ours, and may undo them.

load helper

setup() {
	default_setup
	PROGRAM=$BUILD/pophaul
}

# needs_flag FLAG: the build was made with it; else it is whoever set CFLAGS that did not want it.
needs_flag() {
	grep -q -e " $1" "$BUILD/flags" || skip "built without $1"
}

is_sanitized() {
	grep -q __asan_init "$PROGRAM"
}

@test "the program can be put anywhere in memory, and none of it is both writable and executable" {
	run readelf -hlW "$PROGRAM"
	assert_status 0
	assert_output_matches '^ *Type: +DYN '
	assert_output_matches '^ *GNU_STACK .* RW +0x'
	run ! grep -E '^ *LOAD .* (RWE|WE|W E) ' <<<"$output"
}

@test "what the linker fills in is read-only before the program begins" {
	run readelf -dlW "$PROGRAM"
	assert_status 0
	assert_output_matches '^ *GNU_RELRO '
	assert_output_matches '\(FLAGS_1\).* NOW .*PIE'
	assert_output_matches '\(FLAGS\).*BIND_NOW'
}

@test "libraries are looked for where the system has them and nowhere else" {
	run readelf -dW "$PROGRAM"
	assert_status 0
	refute_output_has RPATH
	refute_output_has RUNPATH
}

@test "stacks are watched, and the C library checks the room of what it writes" {
	run readelf -sW --dyn-syms "$PROGRAM"
	assert_status 0
	is_sanitized || assert_output_matches ' __stack_chk_fail(@|$)'
	needs_flag '-D_FORTIFY_SOURCE='
	assert_output_matches ' __memcpy_chk(@|$)'
	assert_output_matches ' __vsnprintf_chk(@|$)'
}

@test "indirect jumps land where they may, and returns return, on processors that watch them" {
	local object

	[ "$(uname -m)" = x86_64 ] || skip "not an x86 processor"
	needs_flag -fcf-protection
	# What the C library adds to a program may lack the mark, and then the whole does: ours does not.
	for object in src/main.o src/fetch/wire/conn.o src/fetch/pop3_parse.o; do
		run readelf -nW "$BUILD/$object"
		assert_output_has 'x86 feature: IBT, SHSTK'
	done
}

@test "a big frame touches each page of it: nothing beyond the stack's end is reached by one step" {
	needs_flag -fstack-clash-protection
	[ "$(uname -m)" = x86_64 ] || skip "not an x86 processor"
	! is_sanitized || skip "the sanitizer has frames of its own"
	# A function with more than a page of locals probes the stack: or $0, (%rsp).
	objdump -d "$PROGRAM" | grep -Eq 'or[qlb] +.0x0,(0x[0-9a-f]+)?\((%rsp)\)'
}

@test "a format that is not a constant does not compile" {
	printf '%s\n' '#include <stdio.h>' 'void show(const char *text);' \
		'void show(const char *text) { printf(text); }' >show.h
	run env -u MAKEFLAGS -u MAKELEVEL make -s -C "$ROOT" BUILD="$PWD/build" WERROR=0 CPPFLAGS="-include $PWD/show.h" \
		"$PWD/build/src/base/hex.o"
	[ "$status" -ne 0 ]
	assert_output_has format-security
}

@test "blhc has nothing to say about a build's log" {
	command -v blhc >/dev/null || skip "no blhc here"
	# Its reader wants to know that a package is built.
	echo 'dpkg-buildpackage: info: source package pophaul' >log
	env -u MAKEFLAGS -u MAKELEVEL -u CFLAGS -u CPPFLAGS -u LDFLAGS make -C "$ROOT" -n V=1 BUILD="$PWD/build" >>log
	grep -q -e ' -c -o .*pop3_parse' log
	run blhc --all log
	assert_status 0
	assert_output_is ''
}

@test "hardening-check finds all but what the C library's own objects lack" {
	command -v hardening-check >/dev/null || skip "no hardening-check here"
	! is_sanitized || skip "a build with a sanitizer is none to be installed"
	run hardening-check --nocfprotection "$PROGRAM"
	assert_status 0
}
