#!/usr/bin/env bats
# A state that something has damaged: its digests are used, that it is damaged is told, all is
# fetched once more and compared, and none is lost. unit/damage_test.c has the same by thousands.

load helper

# The subjects of all mail here, sorted; generated messages by number.
mail() {
	find Maildir/new Maildir/cur -type f -exec sed -n 's/^Subject: \(Generated message \)\{0,1\}//p' {} + |
		sort -V | paste -sd ' '
}

# After some sessions: 15 messages known, one that has vanished, one that was deleted, in HOME/good.
make_state() {
	start_fakepop - <<-EOT
		messages 15
		message Subject: vanished
		message Subject: gone
		uidl 16 vanished
		uidl 17 gone
		session 1 hide 14
		session 1-2 hide 15
		session 2+ hide 16
		session 2+ hide 17
		session 4+ message "Subject: late\n\nThis one came after all.\n"
	EOT
	use
	poll
	assert_status 0
	poll
	echo "bye gone" >>"$STATE/home.uidl"
	"$TESTS/state-sum" "$STATE/home.uidl"
	poll
	assert_status 0
	cp "$STATE/home.uidl" good
	WANTED="$(seq -s ' ' 15) gone vanished"
	assert_equal "$(mail)" "$WANTED"
	cp -r Maildir Maildir.good
	KNOWN_PORT=$PORT
}

# damaged HOW LINES: the state was damaged, in so many lines. Nothing is lost, nothing hangs.
damaged() {
	local lost

	rm -rf Maildir "$STATE"/home.uidl.*
	cp -r Maildir.good Maildir
	poll
	assert_status 0
	# What cannot be read is told, and kept.
	if [ "$(find "$STATE" -name 'home.uidl.damaged-*' | wc -l)" -gt 0 ]; then
		assert_stderr_has 'the state was damaged: set aside as'
	else
		assert_equal "$stderr" ''
	fi
	mail | tr ' ' '\n' | sort >here
	assert_equal "$1: $(sort -u here | sort -V | paste -sd ' ')" "$1: $(tr ' ' '\n' <<<"$WANTED late" | sort -V | paste -sd ' ')"
	lost=$(($(wc -l <here) - $(sort -u here | wc -l)))
	[ "$lost" -le "$2" ] || fail "$1: $lost fetched again, $2 lines were hit"
	poll --no-mail-status 9
	assert_equal "$1: $status, $stderr" "$1: 9, "
}

@test "a state that is cut anywhere loses nothing, and what stands before the cut is not delivered again" {
	local size total n

	make_state
	size=$(stat -c %s good)
	total=$(wc -l <good)
	for ((n = 0; n < size; n += size / 14)); do
		head -c "$n" good >"$STATE/home.uidl"
		damaged "cut at $n" $((total - $(head -c "$n" good | wc -l)))
	done
}

# trusted_of STATE: the UIDs that a state vouches for: those of its lines up to its last sum. A UID is known when its
# last word is `got`, or a `try` whose file is no longer in tmp/, as here: it was published.
trusted_of() {
	awk '
		/^sum / { for (uid in said) known[uid] = said[uid] }
		$1 == "got" || $1 == "try" { said[$5] = "got" }
		$1 == "off" || $1 == "gone" { said[$3] = $1 }
		$1 == "bye" { said[$2] = $1 }
		END { for (uid in known) if (known[uid] == "got") print uid }' "$1"
}

# asked_is WHAT [UID]: the latest poll asked for those of the 16 messages which the state did not vouch for, and for
# this one, but for no other.
asked_is() {
	local wanted

	wanted=$(trusted_of cut | grep -vx "${2:-none}" | grep -nvxFf - listed | cut -d : -f 1 | paste -sd ' ')
	assert_equal "$1: $(asked "$(count_sessions)" RETR)" "$1: $wanted"
}

@test "of a state that is cut, what a sum vouches for is not even fetched; what stands behind the last is compared only" {
	local line next records=0

	make_state
	{ seq -f uid-%g 15 && echo uid-18; } >listed
	for line in $(sed -n '/^sum /=' good); do
		rm -rf Maildir
		cp -r Maildir.good Maildir
		# Nothing behind the sum: the whole state of an earlier moment, which nobody can tell from it.
		head -n "$line" good >"cut"
		cp cut "$STATE/home.uidl"
		poll
		assert_equal "$line: $status $stderr" "$line: 0 "
		asked_is "behind the sum in line $line"
		# The next record, without its sum.
		next=$(tail -n +$((line + 1)) good | grep -m 1 -v '^sum ') || continue
		rm -rf Maildir
		cp -r Maildir.good Maildir
		{ cat cut && echo "$next"; } >"$STATE/home.uidl"
		poll -v
		assert_status 0
		assert_stderr_has "home: the state was not written to its end: what its lines $((line + 1)) to $((line + 1)) tell of"
		asked_is "one record behind the sum in line $line" "${next##* }"
		records=$((records + 1))
	done
	[ "$records" -gt 1 ]
}

# flip SEED N: a few octets of the state changed by chance, which is the same each time. Prints how many lines that may
# have hit.
flip() {
	python3 - "$1" "$2" "$STATE/home.uidl" <<-'EOT'
		import random, sys
		chance = random.Random(sys.argv[1] + "/" + sys.argv[2])
		state = bytearray(open("good", "rb").read())
		# Its first line may make it another version's, which is refused.
		for _ in range(chance.randrange(1, 4)):
		    state[chance.randrange(15, len(state))] = chance.randrange(256)
		before = open("good", "rb").read()
		place, hit = 0, 0
		for line in before.splitlines(True):
		    hit += bytes(state[place:place + len(line)]) != line
		    place += len(line)
		open(sys.argv[3], "wb").write(state)
		# A line end that is gone takes the next line with it.
		print(2 * hit)
	EOT
}

@test "a state with octets changed by chance loses nothing, and what was not hit is not delivered again" {
	local n seed

	make_state
	for seed in 1 2; do
		for n in {1..7}; do
			flip "$seed" "$n" >hit
			damaged "seed $seed, $n" "$(cat hit)"
		done
	done
}

@test "a state whose lines were doubled, dropped or shuffled loses nothing" {
	make_state
	sed p good >"$STATE/home.uidl"
	damaged 'all lines doubled' 0
	cat good good >"$STATE/home.uidl"
	damaged 'the file doubled' 0
	sed '2~3d' good >"$STATE/home.uidl"
	damaged 'every third line dropped' 20
	{ head -n 1 good && tail -n +2 good | tac; } >"$STATE/home.uidl"
	damaged 'upside down' 20
	tail -n +2 good >"$STATE/home.uidl"
	damaged 'no first line' 0
	grep -v '^try ' good >"$STATE/home.uidl"
	damaged 'no attempts' 0
}

# Messages 1 and 2 are known, 3 and 4 came since; all have one size.
make_small_state() {
	start_fakepop -e 'messages 4 300' -e 'session 1 hide 3' -e 'session 1 hide 4'
	use
	poll
	assert_status 0
	assert_equal "$(mail)" '1 2'
}

@test "one octet of the state that makes a known id that of a new message loses nothing" {
	local keep

	for keep in forever never; do
		rm -rf "$STATE" Maildir
		make_small_state
		use "keep = $keep"
		sed -i 's/ uid-2$/ uid-3/' "$STATE/home.uidl"
		poll
		assert_status 0
		assert_stderr_has 'the state was damaged: set aside as'
		assert_stderr_has '; all mail is fetched once more, to be compared with what is here'
		assert_equal "$keep: $(mail)" "$keep: 1 2 3 4"
		poll --no-mail-status 9
		assert_equal "$keep: $status, $stderr" "$keep: 9, "
		assert_equal "$(mail)" '1 2 3 4'
	done
}

@test "a line of the state that is gone, and was a deletion, hides no message that has its id now" {
	start_fakepop -e 'messages 3 300' -e 'uidl 1 again' -e 'uidl 3 again' -e 'session 1 hide 3' -e 'session 2+ hide 1'
	use 'keep = never'
	poll
	assert_status 0
	grep -q '^gone [0-9]* again$' "$STATE/home.uidl"
	sed -i '/^gone [0-9]* again$/d' "$STATE/home.uidl"
	use
	poll
	assert_status 0
	assert_stderr_has 'the state was damaged'
	assert_equal "$(mail)" '1 2 3'
}

@test "a damaged state that is only read is told, stays as it is, and is set aside by the next run that fetches" {
	local mode

	make_small_state
	sed '3s/./x/' "$STATE/home.uidl" >damaged
	cp damaged "$STATE/home.uidl"
	for mode in --list --dry-run; do
		poll "$mode"
		assert_status 0
		assert_stderr_has 'the state is damaged (lines '
		assert_stderr_has '): the next run that fetches sets it aside and compares all mail'
		cmp damaged "$STATE/home.uidl"
		[ "$(find "$STATE" -name '*.damaged-*' | wc -l)" -eq 0 ]
	done
	poll
	assert_status 0
	assert_stderr_has 'the state was damaged: set aside as'
	poll --list
	assert_equal "$stderr" ''
}

@test "a state without sums, as by hand, is compared with the mailbox once, without alarm" {
	local keep

	for keep in forever never; do
		rm -rf "$STATE" Maildir
		make_small_state
		use "keep = $keep"
		sed -i '/^sum /d' "$STATE/home.uidl"
		poll -v
		assert_status 0
		assert_stderr_has 'the state was not written to its end: what its lines 1 to '
		assert_equal "$(asked 2 RETR)" '1 2 3 4'
		assert_equal "$keep: $(mail)" "$keep: 1 2 3 4"
		poll
		assert_equal "$(asked 3 RETR)" ''
		assert_equal "$stderr" ''
	done
	run ls "$STATE"
	refute_output_has damaged
}

@test "a state of a hundred megabytes of anything is set aside in bounded time and memory" {
	local kind

	start_fakepop -e 'messages 3'
	use
	for kind in NULs text lines; do
		rm -rf "$STATE" Maildir
		mkdir "$STATE"
		case $kind in
		NULs) truncate -s 100M "$STATE/home.uidl" ;;
		text) yes | tr -d '\n' | head -c 100000000 >"$STATE/home.uidl" ;;
		lines) yes 'got 1 2 3 4' | head -c 100000000 >"$STATE/home.uidl" ;;
		esac
		run --separate-stderr pophaul_measured
		assert_status 0
		assert_memory_below 64
		if [ "$kind" = NULs ]; then
			# It has no line end: a last line that was not written to its end.
			assert_equal "$(mail)" '1 2 3'
		else
			assert_stderr_has 'the state was damaged: set aside as'
		fi
		assert_equal "$kind: $(mail)" "$kind: 1 2 3"
		[ "$(stat -c %s "$STATE/home.uidl")" -lt 2000 ]
	done
}

@test "what is no file in the place of the state or its lock is told at once, and nothing is fetched" {
	local what place

	start_fakepop -e 'messages 2'
	use 'keep = never'
	poll
	assert_status 0
	start_fakepop -e 'messages 2' -e 'uidl-prefix other-'
	use 'keep = never'
	cp "$STATE/home.uidl" good
	for place in home.uidl home.uidl.new home.lock; do
		for what in 'mkdir' 'mkfifo' 'ln -s /dev/zero' 'ln -s /dev/full' 'ln -s /nowhere/at/all'; do
			# A new file is only made to be renamed: whatever is no folder makes room for it.
			[ "$place" != home.uidl.new ] || [ "$what" = mkdir ] || continue
			# What is opened only to be locked can be anything.
			[[ $place != home.lock || $what == mkdir || $what == *nowhere* ]] || continue
			rm -rf "$STATE"/home.*
			[ "$place" = home.uidl ] || { cat good && echo damage; } >"$STATE/home.uidl"
			$what "$STATE/$place"
			POPHAUL_LIMIT=20 poll
			assert_equal "$what $place: $status" "$what $place: 73"
			assert_stderr_has "$STATE/$place"
		done
	done
	assert_equal "$(count_sessions)" 0
	rm -rf "$STATE"/home.*
	cp good "$STATE/home.uidl"
	poll
	assert_status 0
	assert_equal "$(mail)" '1 1 2 2'
}

@test "the end of a failed attempt that cannot be read makes no message count as delivered" {
	start_fakepop -e 'messages 2' -e 'session 2 on /^(PASS|AUTH)/ send -ERR [SYS/TEMP] later'
	use 'keep = never'
	# Nothing can be published: both attempts are recorded, and that they failed.
	run --separate-stderr strace -f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:error=EIO \
		timeout -k 5 60 "$BUILD/pophaul"
	assert_status 74
	assert_equal "$(mail)" ''
	grep -qx end "$STATE/home.uidl"
	# The next start cleans up what nobody needs any more.
	poll
	assert_status 75
	assert_equal "$(count_files Maildir)" 0
	sed -i 's/^end$/e\x00d/' "$STATE/home.uidl"
	poll
	assert_status 0
	assert_stderr_has 'the state was damaged'
	assert_equal "$(mail)" '1 2'
	# The same where it is the destination of before that cannot be read.
	rm -rf "$STATE" Maildir
	start_fakepop -e 'messages 2'
	use 'keep = never'
	run strace -f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=KILL:when=1 \
		timeout -k 5 60 "$BUILD/pophaul"
	use 'keep = never' 'deliver = "maildir:~/Other"'
	mkdir -p Other/{cur,new,tmp}
	sed -i 's/^dest .*/dest?/' "$STATE/home.uidl"
	poll
	assert_status 0
	mv Other/new/* Maildir/new
	assert_equal "$(mail)" '1 2'
}
