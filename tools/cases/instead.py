"""Scripts that are run instead of a case's own, and what is right though it was not expected."""

from __future__ import annotations

HERE = '#!/bin/bash\ncd "$(dirname "$0")"\n'

# A script that uses an older version's modules or defaults, or says not how its commands end.
INSTEAD = {
    "guard-99": f"{HERE}python -m tools.cases.withheld room.jpg\n",
    "portrait-live": (
        f"{HERE}bshm-live --source portrait.mp4 --bg '#00b140' --size 1280x720 --fit contain "
        "--sink out.mp4 --preset fast\n"
    ),
    "names-too-long": (
        f"{HERE}n=$(printf 'n%.0s' {{1..240}}); cp ../p.jpg $n.jpg\n"
        "L=$(printf 'a%.0s' {1..300})\n"
        'for words in "image -i $n.jpg -d out --preset fast" '
        '"live --bg $L --source ../c.mp4 --sink null" "live --bg green --source $L --sink null" '
        '"live --bg green --source ../c.mp4 --sink $L.mp4"; do\n'
        "  bshm-live $words >said 2>&1; echo rc=$?; wc -l <said; tail -1 said | cut -c1-80\ndone\n"
    ),
}

NOTES = {
    "bg-timing": "bg.apng has one picture: it stands still, rightly without a word",
    "long-name": "all three pictures are done, the long name's stem is cut",
    "names-too-long": "a stem of 240 letters is done (rc 0): the stem is cut, the file is whole",
    "portrait-live": "with --fit contain, the option that was missing",
    "url-endless": "redirbody, slowredir: the redirect is followed, its body is not read (rc 0)",
}
