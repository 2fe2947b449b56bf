// What the kernels are told of a call, and the memory that they work in. No code here depends on the instruction set.

#pragma once
#include <cstddef>

namespace fleet {

/** Rows and columns of a depthwise kernel at most. */
constexpr int KERNEL_MOST = 16;

/** PReLU, depthwise convolution of odd size with symmetric padding, pointwise convolution; a map is [images, height, width, channels]. */
struct Block {
  int images, height, width, in;
  int outHeight, outWidth, out;
  int kernel, stride, padding;
  float epsilon;
  /** A depthwise 1x1 at stride 1 is a factor of each channel and part of the pointwise weights. */
  bool scaled() const { return kernel == 1 && stride == 1 && padding == 0; }
  int pixels() const { return height * width; }
  int outPixels() const { return outHeight * outWidth; }
};

/**
 * A map whose channels lie in several maps of `channels` each, side by side: a concatenation that nobody has copied together. Most
 * maps lie in one.
 */
template <class Float>
struct Parts {
  static constexpr int MOST = 8;
  int count, channels;
  Float* maps[MOST];
  int total() const { return count * channels; }
  /** The same map from a pixel on. */
  Parts from(size_t pixel) const {
    Parts moved = *this;
    for (int part = 0; part < count; part++) moved.maps[part] += pixel * channels;
    return moved;
  }
};

/**
 * A map of so many floats is out of the second cache before anybody reads it, and storing it past the caches spares reading what it
 * overwrites. Measured: 2 to 5 % of a step with maps of 6 MB, nothing with 3 MB.
 */
constexpr size_t PAST_CACHES = 1 << 20;

/**
 * A map before its norm, and what makes it whole: y = z factor + offset, and a map added that may be before its norm too. Who reads it
 * first does this, and writes y for all others.
 */
struct Unfinished {
  const float* z;
  const float* norm;       // [2, channels]: factors and offsets
  const float* added;      // or null
  const float* addedNorm;  // or null, where what is added is as it should be
  float* y;
  bool past;               // y goes past the caches
};

/** What a block reads, of one image: where a part of it is unfinished, x is what will be written. */
struct Source {
  Parts<const float> x;
  const Unfinished* unfinished[Parts<const float>::MOST] = {};  // of each part, all images, or null
  size_t first = 0;                                             // pixel of theirs that the image begins with
};

/** Channel counts rounded up to whole vectors. */
inline int padTo(int channels, int lanes) { return (channels + lanes - 1) / lanes * lanes; }

/** Weights as the kernels want them: rows of whole vectors, zeros where a channel is not. `in` and `out` are padded here. */
struct Weights {
  int in, out;
  const float* slope;       // [in]
  const float* depthwise;   // [kernel, kernel, in]
  const float* flipped;     // the same, last tap first
  const float* pointwise;   // [in, out]; times the factors where the block is scaled
  const float* transposed;  // [out, in]
};

/** Of a part of the batch: how many pixels, mean and sum of squared deviations of each channel (Chan et al., 1979). */
struct Moments {
  double count;
  double* mean;      // [out]
  double* deviation; // [out]
};

/** Joins one channel of a part with what is there; `count` and `part` are numbers of pixels. */
inline void join(double& mean, double& deviation, double count, double partMean, double partDeviation, double part) {
  const double off = partMean - mean;
  const double whole = count + part;
  mean += off * part / whole;
  deviation += partDeviation + off * off * count * part / whole;
}

/** dz = slope dy + curve (z - mean) + shift: the gradient of a batch norm, all [out] and padded. */
struct NormGradient {
  const float* mean;
  const float* slope;
  const float* curve;
  const float* shift;
};

/** What one image adds to the gradients of the weights; padded like Weights. */
struct WeightGradients {
  float* slope;      // [in]
  float* depthwise;  // [kernel, kernel, in]; not used where the block is scaled
  float* pointwise;  // [in, out]
};

/** A batch norm whose dy is (a part of) this dx: its sums of dy and of dy (z - mean) are taken while dx is in the cache. */
struct Waiting {
  int part;
  const float* z;
  const float* mean;
  double* sums;  // [2, channels of the part]
};

/** The maps of a block's gradient, from the first pixel of an image on. */
struct BackwardMaps {
  Parts<const float> x;
  const float* z;
  const float* dy;
  const float* before;  // added to dx, or null
  Parts<float> dx;
  const Waiting* waiting;
  int waitingCount;
};

/** Aligned memory that grows and is kept for the next call of this thread. */
struct Scratch {
  float* floats = nullptr;
  size_t size = 0;
  /** At least `count` floats; what was in it is gone. */
  float* atLeast(size_t count);
  ~Scratch();
};

/** What kernels of one vector width can do; sums of an image do not depend on the thread that takes it. */
struct Kernels {
  int lanes;
  /** Floats of scratch that an image needs. */
  size_t (*scratchSize)(const Block&, const Weights&);
  /** z of one image, and its moments. */
  void (*forward)(const Block&, const Weights&, const Source& x, float* z, Moments&, float* scratch);
  /** Finishes `pixels` rows of `channels` from pixel `first` on. */
  void (*finish)(size_t first, int pixels, int channels, const Unfinished&);
  /** Adds the sums of dy and of dy (z - mean) to `sums` [2, channels]. */
  void (*normSums)(int pixels, int channels, const float* dy, const float* z, const float* mean, double* sums);
  /** dz of a batch norm alone. */
  void (*normGradient)(int pixels, int channels, const float* dy, const float* z, const NormGradient&, float* dz);
  /** Moments of a map alone. */
  void (*moments)(int pixels, int channels, const float* z, Moments&);
  /** dx of one image, and what it adds to the gradients of the weights and to the sums of who waits for dx. */
  void (*backward)(const Block&, const Weights&, const NormGradient&, const BackwardMaps&, WeightGradients&, float* scratch);
  /** to += from */
  void (*add)(size_t floats, const float* from, float* to);
  /** y of a PReLU alone; and dx (+ before, which may be null) with the sums for its slope, `slopeSums` being [2, channels]. */
  void (*prelu)(int pixels, const Parts<const float>& x, const float* slope, float* y);
  void (*preluGradient)(int pixels, const Parts<const float>& x, const float* dy, const float* slope, const float* before,
                        const Parts<float>& dx, float* slopeSums);
};

/** The widest vectors that this processor has and that fill up with these numbers of channels. */
const Kernels& kernelsFor(int some, int others);

}  // namespace fleet
