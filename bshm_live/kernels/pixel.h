// The formulas of one pixel.
//
// Plain C++ without its library: the same text compiles for a processor, where V is a
// float or a vector of floats, and for a GPU. Levels are 0 to 255.

#ifndef BSHM_PIXEL_H
#define BSHM_PIXEL_H

#ifdef __CUDACC__
#define PIXEL __device__ inline
#define FLOOR floorf
#define NEAREST rintf
#else
#define PIXEL static inline
#define FLOOR __builtin_floorf
#define NEAREST __builtin_rintf
#endif

typedef unsigned char u8;

const int REFINED = 4;  // matte size = 4 * low size
const int SOLID = 255;

PIXEL int clamped(int i, int n) { return i < 0 ? 0 : i < n ? i : n - 1; }

// Reflected at the edges, which are not repeated; also where i is further out than n.
PIXEL int mirrored(int i, int n) {
    if (n == 1) return 0;
    while (i < 0 || i >= n) i = i < 0 ? -i : 2 * n - 2 - i;
    return i;
}

// What is not a number becomes `least`.
template <class V> PIXEL V within(V v, V least, V most) {
    v = v > least ? v : least;
    return v < most ? v : most;
}

PIXEL u8 nearest_level(float v) { return (u8)NEAREST(within(v, 0.0f, (float)SOLID)); }

// ---- Bilinear, in fixed point ------------------------------------------------------------

// Two neighbours and their weights in 1/2048: OpenCV's own, so that a pixel of the
// matte lies on the same side of 0 and of 255 here and there.
struct Tap {
    int near, far, near_weight, far_weight;
};

// The neighbours in n of a place between them, in pixels from the first one's centre.
PIXEL Tap tap_at(float place, int n) {
    const int below = (int)FLOOR(place);
    const bool edge = below < 0 || below >= n - 1;
    const float share = edge ? 0 : place - (float)below;
    Tap t = {clamped(below, n), clamped(below + 1, n), 0, 0};
    t.near_weight = (int)NEAREST((1 - share) * 2048);
    t.far_weight = (int)NEAREST(share * 2048);
    return t;
}

// The neighbours in n of the target's pixel i; `scale` is source pixels to a target pixel.
PIXEL Tap tap(int i, double scale, int n) { return tap_at((float)((i + 0.5) * scale - 0.5), n); }

// First along one direction, to 1/128 of a level, then along the other, to a level.
PIXEL int first_blend(const Tap &t, int near, int far) {
    return (near * t.near_weight + far * t.far_weight) >> 4;
}
PIXEL int second_blend(const Tap &t, int near, int far) {
    return ((t.near_weight * near >> 16) + (t.far_weight * far >> 16) + 2) >> 2;
}

// ---- Bilinear, in maps of floats ---------------------------------------------------------

// Two neighbours and how far the place lies on the way to the second.
struct Near {
    int near, far;
    float share;
};

// A place in pixels of a map of n, pixel centres at .5, edges repeated.
PIXEL Near near_place(float place, int n) {
    const float below = FLOOR(place - 0.5f);
    const Near t = {clamped((int)below, n), clamped((int)below + 1, n), place - 0.5f - below};
    return t;
}

template <class V> PIXEL V between(float x, float y, V nn, V nf, V fn, V ff) {
    const V above = nn + x * (nf - nn), below = fn + x * (ff - fn);
    return above + y * (below - above);
}

// ---- The matte over time -----------------------------------------------------------------

const int GATE_BLUR = 3;  // low pixels
const float REST_WEIGHT = 0.3f, CHANGE_NONE = 0.03f, CHANGE_FULL = 0.15f;

// How much the new matte counts, where the matte around changed by `change` in the mean.
PIXEL float gate_weight(float change) {
    const float moves = (change - CHANGE_NONE) / (CHANGE_FULL - CHANGE_NONE);
    return REST_WEIGHT + (1 - REST_WEIGHT) * within(moves, 0.0f, 1.0f);
}

// ---- Noise in the dark -------------------------------------------------------------------

const float CALM_REST = 0.25f;                        // what the new picture counts at rest
const float CALM_NONE = 2, CALM_FULL = 7;             // levels: a block's mean difference
const float CALM_DARK = 80, CALM_BRIGHT = 120;        // levels: a block's mean
const float CALM_FAR = 24;                            // levels: a single value's difference
const int CALM_STEEP = 16;                            // in full after 16 levels more

// How much the new picture counts where it changed by `moved` levels and has `mean`.
PIXEL float calm_share(float moved, float mean, float amount) {
    const float moves = within((moved - CALM_NONE) / (CALM_FULL - CALM_NONE), 0.0f, 1.0f);
    const float dark = within((CALM_BRIGHT - mean) / (CALM_BRIGHT - CALM_DARK), 0.0f, 1.0f);
    return 1 - amount * dark * (1 - CALM_REST) * (1 - moves);
}

// ---- The soft band -----------------------------------------------------------------------

const int MOMENTS = 4;  // means of grey, alpha, grey·alpha, grey² over a low pixel
const int MAPS = 8;     // of a low pixel: person B, G, R; slope; room B, G, R; the room's share
const int SLOPE = 3, ROOM = 4, SHARE = 7;
const int SLOPE_BLUR = 3, COLOUR_BLUR = 5;  // low pixels: how far is looked around
const float SLOPE_EPSILON = 1e-3f;   // of the grey levels' variance, in [0, 1]²
const float COLOUR_EPSILON = 1e-4f;  // of a weight, in [0, 1]

// The brightness (BT.601) of a BGR pixel of the guide, in 15 bits: OpenCV's.
PIXEL int grey_level(const u8 *p) {
    return (p[0] * 3735 + p[1] * 19235 + p[2] * 9798 + (1 << 14)) >> 15;
}
PIXEL float brightness(float b, float g, float r) { return 0.114f * b + 0.587f * g + 0.299f * r; }

// The guided filter's slope: cov(grey, alpha) / (var(grey) + eps) (He and Sun, 2015),
// from the means of grey, alpha, grey·alpha and grey².
PIXEL float guided_slope(float g, float a, float ga, float gg) {
    return (ga - g * a) / (gg - g * g + SLOPE_EPSILON);
}

// alpha + slope (grey here - grey at the matte's size)
PIXEL int refined(int alpha, float slope, float here, float there) {
    return (int)NEAREST(within((float)alpha + slope * (here - there), 0.0f, (float)SOLID));
}

// Blur fusion (Forte, ICIP 2021): F = p + a (I - a p - (1 - a) r).
template <class V> PIXEL V fused(V person, V room, V image, float a, V least, V most) {
    return within(((room - person) * a + image - room) * a + person, least, most);
}

// Light wrap: F + share (light - F).
template <class V> PIXEL V wrapped(V foreground, float share, V light) {
    return foreground + share * (light - foreground);
}

// A person's colours changed by their brightness: scale F + offset, where both stand in a
// table by the level of F's brightness. Kept in range.
const int GRADE = 8;  // floats of a level: scale of B, G, R and one more; offset likewise
template <class V> PIXEL V graded(V foreground, V scale, V offset, V least, V most) {
    return within(foreground * scale + offset, least, most);
}
PIXEL int brightness_level(float b, float g, float r) { return (int)(brightness(b, g, r) + 0.5f); }

// a F + (1 - a) B, and a half to be cut off to the nearest level.
template <class V> PIXEL V mixed(V foreground, V background, float a) {
    return (foreground - background) * a + background + 0.5f;
}

#endif
