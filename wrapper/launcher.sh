# Begins a game in an image that knows nothing of us: STAGE BUSYBOX PROGRAM [ARGUMENT...]; busybox is its own shell.
# Waits until the wrapper has set the stage, joins the game's input and output to it, says "started PID" and "exited CODE".
stage=$1 busybox=$2
shift 2
until [ -p "$stage/report" ]; do "$busybox" sleep 0.02; done
exec 3>"$stage/report" >"$stage/output" 2>"$stage/errors"
while IFS= read -r variable; do export "$variable"; done <"$stage/environment"
"$busybox" setsid "$busybox" sh -c 'echo "started $$" >&3; exec 3>&-; exec "$@"' game "$@" <"$stage/stdin"
echo "exited $?" >&3
