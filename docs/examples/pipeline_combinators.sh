# What it is given; and one bad line, which is a failure of the whole.
seq 90 100 | $LAUNCH "$1" || exit 1
printf '6\nseven\n8\n' | $LAUNCH "$1" 2>&1 >/dev/null | grep -o 'not a number: [a-z]*' | head -n 1
