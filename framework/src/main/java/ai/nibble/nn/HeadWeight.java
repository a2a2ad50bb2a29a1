package ai.nibble.nn;

import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;

/**
 * The output head as products take it: itself where it is held in their dtype, else a converted
 * copy.
 *
 * @param weight {@code [vocabulary, hidden]}
 */
public record HeadWeight(Weight weight, Precision precision) {

  /** Bytes of a converted copy; 0 where none is needed. */
  public long copyBytes() {
    return isReady() ? 0 : weight.outFeatures() * weight.inFeatures() * precision.product().bytes();
  }

  /** Whether rows are trained by themselves, so that a copy may be another soon. */
  public boolean hasTrainedRows() {
    return weight instanceof DenseWeight dense && dense.trainedRows().isPresent();
  }

  /** The head, for as long as the caller likes, who closes it. */
  public Tensor open() {
    if (isReady()) {
      return held();
    }
    return written(
        Tensor.empty(
            weight.device(), precision.product(), weight.outFeatures(), weight.inFeatures()));
  }

  /** The head until a workspace's copy of a head is made anew; the caller closes it. */
  Tensor open(Workspace work) {
    if (isReady()) {
      return held();
    }
    return written(
        work.get(Purpose.HEAD, precision.product(), weight.outFeatures(), weight.inFeatures()));
  }

  /** Rows that are trained by themselves are read as they are now. */
  private void takeRows() {
    if (weight instanceof DenseWeight dense) {
      dense.takeRows();
    }
  }

  private Tensor written(Tensor copy) {
    takeRows();
    try {
      weight.writeTo(copy, 0, precision);
      return copy;
    } catch (RuntimeException e) {
      copy.close();
      throw e;
    }
  }

  private Tensor held() {
    takeRows();
    return ((DenseWeight) weight).tensor().share();
  }

  private boolean isReady() {
    return weight instanceof DenseWeight dense && isReady(dense.tensor().dtype(), precision);
  }

  /** Whether a head held in a dtype needs no converted copy. */
  static boolean isReady(DType held, Precision precision) {
    // a float32 head that is used in bfloat16 is rounded first, whatever the product's dtype
    return held == precision.product() && !precision.widens();
  }
}
