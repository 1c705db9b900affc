printf '6\nseven\n8\n9999\n' | $LAUNCH "$1"
