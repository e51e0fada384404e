#!/usr/bin/env bash
# Makes the demo's own television: two channels at two sites, and the slate.
#
# The results are committed (they are small), so nobody needs to run this; it is here so that they can be
# changed. Needs ffmpeg with libx264, espeak-ng and DejaVu fonts. Each clip is 16 s, 640x360, 25 pictures a
# second, one closed GOP of 50 pictures every 2 s, audio in English and French, a running clock and the
# name of the site that plays it.
set -euo pipefail
cd "$(dirname "$0")"
font=/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

speech() { # language text file
    espeak-ng -v "$1" -s 140 -w "$work/raw.wav" "$2"
    ffmpeg -v error -y -i "$work/raw.wav" -af "apad,atrim=0:16,aresample=48000" -ac 1 "$work/$3.wav"
}

clip() { # channel title site english french colour pattern
    local name=$1 title=$2 site=$3 colour=$6 pattern=$7
    speech en "$4" eng
    speech fr "$5" fra
    ffmpeg -v error -y -f lavfi -i "$pattern" -i "$work/eng.wav" -i "$work/fra.wav" -t 16 \
        -filter_complex "[0:v]drawbox=0:0:iw:70:color=$colour@0.85:t=fill,drawbox=0:290:iw:70:color=black@0.7:t=fill,\
drawtext=fontfile=$font:text='$title':x=20:y=16:fontsize=36:fontcolor=white,\
drawtext=fontfile=$font:text='$site':x=20:y=305:fontsize=36:fontcolor=yellow,\
drawtext=fontfile=$font:text='%{pts\\:hms}':x=w-tw-20:y=305:fontsize=36:fontcolor=white,format=yuv420p[v]" \
        -map '[v]' -map 1:a -map 2:a -c:v libx264 -preset slow -profile:v main -g 50 -keyint_min 50 -sc_threshold 0 \
        -bf 2 -flags +cgop -b:v 260k -maxrate 320k -bufsize 320k -c:a aac -b:a 48k -ac 1 \
        -metadata:s:a:0 language=eng -metadata:s:a:1 language=fra -metadata service_name="$title" \
        -metadata service_provider=Headend -muxrate 640k -pat_period 0.1 -pcr_period 30 -f mpegts "$name-$(echo "$site" | tr 'A-Z' 'a-z').ts"
}

rate='size=640x360:rate=25'
clip lagon 'Lagon TV' CARIBBEAN 'Lagon T V. You are watching the Caribbean site.' \
    'Lagon télévision. Vous regardez le site des Caraïbes.' teal "testsrc2=$rate"
clip lagon 'Lagon TV' FRANCE 'Lagon T V. You are watching the France site.' \
    'Lagon télévision. Vous regardez le site de France.' navy "testsrc2=$rate"
clip horizon 'Horizon Info' CARIBBEAN 'Horizon Info. This picture comes from the Caribbean.' \
    'Horizon Info. Cette image vient des Caraïbes.' teal "mandelbrot=$rate:maxiter=200"
clip horizon 'Horizon Info' FRANCE 'Horizon Info. This picture comes from France.' \
    'Horizon Info. Cette image vient de France.' navy "mandelbrot=$rate:maxiter=200:start_x=-0.6:start_y=-0.5"

ffmpeg -v error -y -f lavfi -i "color=c=0x102030:$rate" -f lavfi -i anullsrc=r=48000:cl=stereo -t 2 \
    -vf "drawtext=fontfile=$font:text='Programme interrupted':x=(w-tw)/2:y=110:fontsize=38:fontcolor=white,\
drawtext=fontfile=$font:text='It will return by itself. Please stay with us.':x=(w-tw)/2:y=160:fontsize=20:fontcolor=0xB0C4DE,\
drawtext=fontfile=$font:text='Programme interrompu':x=(w-tw)/2:y=215:fontsize=32:fontcolor=white,\
drawtext=fontfile=$font:text='Il reviendra de lui-même. Merci de patienter.':x=(w-tw)/2:y=260:fontsize=20:fontcolor=0xB0C4DE,format=yuv420p" \
    -c:v libx264 -preset slow -profile:v main -g 50 -keyint_min 50 -sc_threshold 0 -bf 0 -crf 24 -c:a aac -b:a 32k -ac 2 \
    -metadata service_name=Slate -metadata service_provider=Headend -f mpegts ../../shared/media/assets/slate.ts
