// The types that operations and kernels share: a block's sizes, its maps and weights, and the table of
// kernels of one vector width. No code here depends on the instruction set, because operations are compiled
// once and kernels once for each.
//
// Legend: C channels in, O channels out; z is a map before its batch norm, y after it. Everything is float32
// unless it says double.

#pragma once
#include <cstddef>

namespace fleet {

/**
 * Most rows and columns of a depthwise kernel; a window holds one pointer a row. The largest of the search
 * space has 7.
 */
constexpr int KERNEL_MAX = 16;

/**
 * Sizes of one block: PReLU, depthwise convolution (kernel x kernel, symmetric padding), pointwise
 * convolution, batch norm. x is [images, height, width, in], z and y are [images, outHeight, outWidth, out].
 */
struct Block {
  int images, height, width, in;
  int outHeight, outWidth, out;
  int kernel, stride, padding;
  /** Of the batch norm. */
  float epsilon;
  /**
   * A depthwise 1x1 at stride 1 multiplies each channel by a factor. The factors are multiplied into the
   * pointwise weights, and the block needs neither windows nor a border.
   */
  bool scaled() const { return kernel == 1 && stride == 1 && padding == 0; }
  int pixels() const { return height * width; }
  int outPixels() const { return outHeight * outWidth; }
};

/** Sizes of a pool over one image: x is [height, width, channels], y [outHeight, outWidth, channels]. */
struct Pool {
  int height, width, channels;
  int outHeight, outWidth;
  /** Of the window, which is square; padding on all four sides is less than that. */
  int size, stride, padding;
  /** The largest value of a window, else the mean. */
  bool isMaximum;
  size_t floats() const { return static_cast<size_t>(height) * width * channels; }
  size_t outFloats() const { return static_cast<size_t>(outHeight) * outWidth * channels; }
};

/**
 * A map whose channels lie in `count` tensors of `channels` each: a concatenation that was never copied
 * together. Most maps lie in one tensor. The array has a fixed length, so that the kernels need no memory
 * from the heap.
 */
template <class Float>
struct Parts {
  static constexpr int MAX = 8;
  int count;
  int channels;  // of one part
  Float* maps[MAX];
  int total() const { return count * channels; }
  /** The same map from this pixel on; pixels of all images count on. */
  Parts from(size_t pixel) const {
    Parts moved = *this;
    for (int part = 0; part < count; part++) moved.maps[part] += pixel * channels;
    return moved;
  }
};

/**
 * Maps of this many floats (4 MB) and more are stored past the caches: they would be out of the second cache
 * before their next reader, and an ordinary store first reads the line that it overwrites. Measured: 2 to 5 %
 * of a step with maps of 6 MB, nothing with 3 MB.
 */
constexpr size_t STREAMING_FLOATS_MIN = 1 << 20;

/**
 * A map whose norm is still to be applied: y = z factor + offset, plus a map that may be before its own norm
 * too. The first block that reads the map applies it and stores y for the readers after it.
 */
struct PendingNorm {
  const float* z;
  const float* norm;       // [2, channels]: factors, then offsets
  const float* added;      // or null: nothing is added
  const float* addedNorm;  // [2, channels] for `added`; or null: that is normalised already
  float* y;
  bool streaming;          // y is stored past the caches
};

/**
 * The map x that a block reads, from one image on. A part with a pending norm has in `x` the y that is
 * written while it is read.
 */
struct Source {
  Parts<const float> x;
  const PendingNorm* pending[Parts<const float>::MAX] = {};  // of each part, from the first image on; or null
  size_t first = 0;                                          // the image's first pixel in the pending maps
};

/** Channel counts rounded up to whole vectors. */
inline int padTo(int channels, int lanes) { return (channels + lanes - 1) / lanes * lanes; }

/**
 * Weights packed for the kernels: channels padded to whole vectors with zeros, so that inner loops have no
 * remainder. Products with the padding are zero and add nothing. `in` and `out` are the padded counts.
 */
struct Weights {
  int in, out;
  const float* slope;       // [in]
  const float* depthwise;   // [kernel, kernel, in]
  const float* flipped;     // the same, last tap first: the gradient of a convolution is one with the kernel turned by 180 degrees
  const float* pointwise;   // [in, out]; row i times the depthwise factor i where the block is scaled
  const float* transposed;  // [out, in]
};

/**
 * Mean and sum of squared deviations of each channel over some pixels. Squared deviations from the mean, not
 * squares: the variance as a difference mean(z^2) - mean(z)^2 of two large numbers would lose its digits
 * where the mean is large.
 */
struct Moments {
  double count;      // pixels
  double* mean;      // [out]
  double* deviation; // [out]: sum of (z - mean)^2
};

/**
 * Joins the moments of one channel over `part` more pixels with those over `count` (Chan, Golub and LeVeque,
 * 1979, pairwise update):
 *     d = partMean - mean,
 *     mean += d part / (count + part),
 *     deviation += partDeviation + d^2 count part / (count + part).
 * In double, so that the number of parts hardly matters; the order of joins is fixed, so that it does not
 * matter who took them.
 */
inline void join(double& mean, double& deviation, double count, double partMean, double partDeviation, double part) {
  const double off = partMean - mean;
  const double whole = count + part;
  mean += off * part / whole;
  deviation += partDeviation + off * off * count * part / whole;
}

/**
 * The gradient of a batch norm as one line for each value: dz = dyFactor dy + zFactor (z - mean) + shift. All
 * four are [out], padded. normBackward has the equations.
 */
struct NormGradient {
  const float* mean;
  const float* dyFactor;
  const float* zFactor;
  const float* shift;
};

/** The part of the weights' gradients that comes from one image; padded like Weights. */
struct WeightGradients {
  float* slope;      // [in]
  float* depthwise;  // [kernel, kernel, in]; unused where the block is scaled
  float* pointwise;  // [in, out]; where the block is scaled, the gradient of factor times weight
};

/**
 * A batch norm whose dy is a part of this dx and that asks for its sums of dy and of dy (z - mean), taken
 * while dx is in the cache.
 */
struct SumRequest {
  int part;           // of dx
  const float* z;     // the norm's map, of the shape of that part
  const float* mean;  // [channels of the part]
  double* sums;       // [2, channels of the part]: added to
};

/** The maps of a block's backward pass, from the first pixel of one image on. */
struct BackwardMaps {
  Parts<const float> x;
  const float* z;
  const float* dy;
  const float* summand;  // added to dx, or null
  Parts<float> dx;
  const SumRequest* requests;
  int requestCount;
};

/**
 * Memory aligned to a cache line that grows and is never given back: each thread keeps one for its next call.
 */
struct Scratch {
  float* floats = nullptr;
  size_t size = 0;
  /** At least `count` floats; the contents are undefined. */
  float* atLeast(size_t count);
  ~Scratch();
};

/**
 * The kernels of one vector width. Each works on one image or on some rows of it, with the memory that it is
 * given, and in an order of sums that follows from the shapes alone: the result does not depend on which
 * thread computes it or on how many there are.
 */
struct Kernels {
  int lanes;
  /** Floats of scratch that `forward` and `backward` need. */
  size_t (*scratchSize)(const Block&, const Weights&);
  /** z of one image; its moments are joined to those given. */
  void (*forward)(const Block&, const Weights&, const Source& x, float* z, Moments*, float* scratch);
  /** Applies a pending norm to `pixels` rows of `channels` from pixel `first` on. */
  void (*normalise)(size_t first, int pixels, int channels, const PendingNorm&);
  /** Adds the sums of dy and of dy (z - mean) over some pixels to `sums` [2, channels]. */
  void (*normSums)(int pixels, int channels, const float* dy, const float* z, const float* mean, double* sums);
  /** dz of a batch norm that is no part of a block. */
  void (*normGradient)(int pixels, int channels, const float* dy, const float* z, const NormGradient&, float* dz);
  /** Joins the moments of a map that is no part of a block; any number of channels. */
  void (*moments)(int pixels, int channels, const float* z, Moments&);
  /**
   * dx of one image; adds the image's part to the gradients of the weights and to the sums that norms ask
   * for.
   */
  void (*backward)(const Block&, const Weights&, const NormGradient&, const BackwardMaps&, WeightGradients&, float* scratch);
  /** to += from */
  void (*add)(size_t floats, const float* from, float* to);
  /** y of a PReLU that is no part of a block. */
  void (*prelu)(int pixels, const Parts<const float>& x, const float* slope, float* y);
  /**
   * dx of such a PReLU, plus `summand` unless that is null; adds to the slope's gradient, the first half of
   * `slopeSums` [2, channels], whose second half is working memory.
   */
  void (*preluGradient)(int pixels, const Parts<const float>& x, const float* dy, const float* slope, const float* summand,
                        const Parts<float>& dx, float* slopeSums);
  /** y of one image. */
  void (*pool)(const Pool&, const float* x, float* y);
  /** dx of one image; x is not read for a mean. */
  void (*poolGradient)(const Pool&, const float* x, const float* dy, float* dx);
};

/** The kernels with the widest vectors that this processor has and that both channel counts fill. */
const Kernels& kernelsFor(int some, int others);

}  // namespace fleet
