# The tree of this page's own examples, against what a shell counts.
files=$(find docs/examples -type f | wc -l)
$LAUNCH "$1" docs/examples | tail -n 1 | grep -qx "$files files"
