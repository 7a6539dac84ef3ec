#!/usr/bin/env bats
# Building where libraries and kernel headers are older or others than here.

load helper

# compile OBJECT WORD…: one module of the program, into this test's folder, with these words for make.
compile() {
	run env -u MAKEFLAGS -u MAKELEVEL make -s -C "$ROOT" BUILD="$BATS_TEST_TMPDIR/build" WERROR=1 "${@:2}" "$BATS_TEST_TMPDIR/build/$1"
	assert_status 0 && assert_output_is ''
}

@test "the sandbox is compiled with the kernel headers of 5.15 too" {
	mkdir -p headers/linux
	sed '/define LANDLOCK_ACCESS_FS_\(REFER\|TRUNCATE\)/d' /usr/include/linux/landlock.h >headers/linux/landlock.h
	compile src/fetch/cage/landlock.o CPPFLAGS="-I$PWD/headers"
}

@test "no function is used that musl has had for a short time only" {
	cat >musl.h <<-'EOF'
		#include <stdio.h>
		#undef RENAME_NOREPLACE
		#pragma GCC poison renameat2
	EOF
	compile src/deliver/dest/maildir_recover.o CPPFLAGS="-include $PWD/musl.h"
}

# Without one more call allowed, no process of AddressSanitizer's could end.
@test "the sandbox knows AddressSanitizer of gcc and of clang" {
	local compiler

	command -v clang >/dev/null || skip "no clang here"
	for compiler in cc clang; do
		"$compiler" -std=c11 -E -P -I"$ROOT/src" -D_GNU_SOURCE "$ROOT/src/fetch/cage/filter.c" >without
		"$compiler" -std=c11 -E -P -I"$ROOT/src" -D_GNU_SOURCE -fsanitize=address \
			"$ROOT/src/fetch/cage/filter.c" >with
		grep -q filter_close with
		assert_equal "$compiler: $(diff without with | grep -c '^[<>]')" "$compiler: 1"
	done
}
