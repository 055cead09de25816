"""A frozen TensorFlow 1 graph like the official release's: its names, its kinds of layers.

    python frozen_graph.py RIGHT.pb NAMELESS.pb FLAT.pb

Pictures of any size come in as RGB in levels; they are resized and normalised inside; RGBA goes
out at their size, the colours as they were, alpha up to 254. Red is taken for a person. The
second graph lacks the output's name, the third calls everything a person.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow

tf = tensorflow.compat.v1
INSIDE = 96  # pixels a side
WIDTH = 8  # channels
REDDISH = (0.9, -0.5, -0.3)  # of R, G, B: positive on skin, orange and light


def layers(image: object, bias: float) -> object:
    """Alpha (1, INSIDE, INSIDE, 1) in [0, 1] of a picture of that size."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 0.02, (3, 3, 3, WIDTH)).astype(np.float32)
    kernel[1, 1, :, 0] = REDDISH
    x = tf.nn.conv2d((image - (124.0, 116.0, 104.0)) / 58.0, kernel, 1, "SAME")
    one, none = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    x, _, _ = tf.nn.fused_batch_norm(x, one, none, none, one, is_training=False)
    x = tf.nn.relu6(x)
    depth = rng.normal(0, 0.05, (3, 3, WIDTH, 1)).astype(np.float32)
    deep = tf.nn.max_pool2d(tf.nn.depthwise_conv2d(x, depth, [1, 1, 1, 1], "SAME"), 2, 2, "SAME")
    x = tf.concat([x, tf.image.resize_nearest_neighbor(deep, [INSIDE, INSIDE])], 3)
    last = rng.normal(0, 0.02, (1, 1, 2 * WIDTH, 1)).astype(np.float32)
    last[0, 0, 0] = 8
    return tf.sigmoid(tf.nn.bias_add(tf.nn.conv2d(x, last, 1, "SAME"), [np.float32(bias)]))


def frozen(output: str, bias: float) -> bytes:
    with tf.Graph().as_default() as graph:
        image = tf.placeholder(tf.float32, [None, None, 3], name="input_image")
        small = tf.image.resize_bilinear(image[None], [INSIDE, INSIDE], align_corners=True)
        alpha = layers(small, bias)
        tf.identity(tf.reduce_max(alpha) > 0.5, name="if_person")
        large = tf.image.resize_bilinear(alpha, tf.shape(image)[:2])[0]
        rgba = tf.concat([image, tf.clip_by_value(large * 255.0, 0.0, 254.0)], 2)
        tf.cast(rgba, tf.uint8, name=output)
    return graph.as_graph_def().SerializeToString()


if __name__ == "__main__":
    kinds = (("output_png", -4.0), ("output", -4.0), ("output_png", 50.0))
    for path, (output, bias) in zip(sys.argv[1:], kinds, strict=True):
        Path(path).write_bytes(frozen(output, bias))
