package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code rms_norm.cu}. */
public final class Norms {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of(
          "rms_norm_forward", Norms::forward,
          "rms_norm_backward", Norms::backward,
          "rms_norm_inverse", Norms::inverse,
          "head_norm_forward", Norms::headForward,
          "head_norm_backward", Norms::headBackward);

  private Norms() {}

  /**
   * How rows are normalised.
   *
   * @param eps added to the mean square
   * @param offset of the weights
   * @param rounds whether the normalised value is rounded to the dtype before it meets the weight
   */
  private record Rule(float eps, float offset, boolean rounds) {
    static Rule next(KernelArguments arguments) {
      return new Rule(arguments.real(), arguments.real(), arguments.flag());
    }

    /** What a row's elements are multiplied by. */
    Tensor factors(Aten at, Tensor weight) {
      return offset == 0 ? weight : at.add(weight, offset);
    }
  }

  /** {@code 1 / √(mean(x²) + eps)} of each row of {@code [R, D]}, {@code [R, 1]}. */
  private static Tensor inverse(Aten at, Tensor x, float eps) {
    Tensor mean = at.div(at.rowDots(x, x), x.size(1));
    Tensor root = at.map("sqrt", at.doubles(at.add(mean, eps)));
    return at.floats(at.map("reciprocal", root));
  }

  /**
   * Rows before they are rounded at last.
   *
   * @param x float32 {@code [R, D]}
   * @param dtype that is rounded to before the weight
   */
  private static Tensor normalized(Aten at, Tensor x, Tensor weight, Rule rule, DType dtype) {
    Tensor normed = at.mul(x, inverse(at, x, rule.eps));
    Tensor met = rule.rounds ? at.floats(at.as(normed, dtype)) : normed;
    return at.mul(met, rule.factors(at, weight));
  }

  /**
   * Gradients before they are rounded.
   *
   * @param dy float32 {@code [R, D]}
   * @param x float32 {@code [R, D]}
   * @param prior float32 {@code [R, D]}, or null
   */
  private static Tensor gradient(
      Aten at, Tensor dy, Tensor x, Tensor weight, Rule rule, Tensor prior) {
    Tensor weighted = at.mul(dy, rule.factors(at, weight));
    Tensor inverse = inverse(at, x, rule.eps);
    Tensor cube = at.mul(at.mul(inverse, inverse), inverse);
    Tensor back = at.div(at.mul(cube, at.rowDots(weighted, x)), x.size(1));
    Tensor own = at.sub(at.mul(inverse, weighted), at.mul(back, x));
    return prior == null ? at.add(own, 0) : at.add(prior, own);
  }

  private static Tensor floats(Aten at, Tensor rows, long begin, long count) {
    return rows == null ? null : at.floats(at.narrow(rows, 0, begin, count));
  }

  private static void forward(KernelArguments arguments) {
    Tensor y = arguments.tensor(); // with the room behind its rows
    Tensor x = arguments.tensor();
    Tensor weight = arguments.tensor();
    Rule rule = Rule.next(arguments.skip(3));
    long width = x.size(1);
    Parts.ofRows(
        x.size(0),
        width,
        (at, begin, count) -> {
          Tensor to = at.narrow(y, 0, begin, count);
          Tensor rows = normalized(at, floats(at, x, begin, count), weight, rule, x.dtype());
          at.narrow(to, 1, 0, width).copyFrom(rows);
          at.narrow(to, 1, width, y.size(1) - width).zero();
        });
  }

  private static void backward(KernelArguments arguments) {
    Tensor dx = arguments.tensor();
    Tensor dy = arguments.tensor();
    Tensor x = arguments.skip(1).tensor();
    Tensor weight = arguments.tensor();
    Tensor prior = arguments.tensorOrNull();
    Rule rule = Rule.next(arguments.skip(2));
    Parts.ofRows(
        x.size(0),
        x.size(1),
        (at, begin, count) -> {
          Tensor rows = floats(at, x, begin, count);
          Tensor before = floats(at, prior, begin, count);
          Tensor sum = gradient(at, floats(at, dy, begin, count), rows, weight, rule, before);
          at.narrow(dx, 0, begin, count).copyFrom(sum);
        });
  }

  private static void inverse(KernelArguments arguments) {
    Tensor inverse = arguments.tensor();
    Tensor x = arguments.tensor();
    float eps = arguments.skip(2).real();
    Parts.ofRows(
        x.size(0),
        x.size(1),
        (at, begin, count) -> {
          Tensor rows = inverse(at, floats(at, x, begin, count), eps);
          at.narrow(inverse, 0, begin, count).copyFrom(at.flat(rows));
        });
  }

  /** Some heads of one kind, side by side in a token's row. */
  private record Heads(long first, long count, long width) {
    /** Those of some tokens, {@code [N, count, width]}, on the rows' memory; null for null. */
    Tensor of(Aten at, Tensor rows, long begin, long tokens) {
      if (rows == null) {
        return null;
      }
      long[] shape = {tokens, count, width};
      long[] strides = {rows.size(1), width, 1};
      return at.own(at.narrow(rows, 0, begin, tokens).asStrided(shape, strides, first));
    }

    /** Likewise as float32 {@code [N·count, width]}. */
    Tensor floats(Aten at, Tensor rows, long begin, long tokens) {
      Tensor heads = of(at, rows, begin, tokens);
      return heads == null ? null : at.view(at.floats(heads), tokens * count, width);
    }
  }

  /** The kinds of heads of a token. */
  private record Token(Heads queries, Heads keys, Heads values) {
    static Token next(KernelArguments arguments) {
      long queries = arguments.whole();
      long keys = arguments.whole();
      long queryWidth = arguments.whole();
      long keyWidth = arguments.whole();
      long first = queries * queryWidth;
      return new Token(
          new Heads(0, queries, queryWidth),
          new Heads(first, keys, keyWidth),
          new Heads(first + keys * keyWidth, keys, keyWidth));
    }
  }

  private static void headForward(KernelArguments arguments) {
    Tensor y = arguments.tensor();
    Tensor x = arguments.tensor();
    Tensor[] weights = {arguments.tensor(), arguments.tensor()};
    Token token = Token.next(arguments);
    Rule rule = Rule.next(arguments.skip(1));
    Heads[] kinds = {token.queries, token.keys};
    Parts.ofRows(
        x.size(0),
        x.size(1),
        (at, begin, count) -> {
          for (int k = 0; k < kinds.length; k++) {
            Tensor rows = kinds[k].floats(at, x, begin, count);
            Tensor normed = normalized(at, rows, weights[k], rule, x.dtype());
            Tensor to = kinds[k].of(at, y, begin, count);
            to.copyFrom(at.view(normed, to.shape()));
          }
          token.values.of(at, y, begin, count).copyFrom(token.values.of(at, x, begin, count));
        });
  }

  private static void headBackward(KernelArguments arguments) {
    Tensor dx = arguments.tensor();
    Tensor dy = arguments.tensor();
    Tensor x = arguments.tensor();
    Tensor[] weights = {arguments.tensor(), arguments.tensor()};
    Tensor prior = arguments.tensorOrNull();
    Token token = Token.next(arguments);
    Rule rule = Rule.next(arguments.skip(1));
    Heads[] kinds = {token.queries, token.keys};
    Parts.ofRows(
        x.size(0),
        x.size(1),
        (at, begin, count) -> {
          for (int k = 0; k < kinds.length; k++) {
            Tensor rows = kinds[k].floats(at, x, begin, count);
            Tensor before = kinds[k].floats(at, prior, begin, count);
            Tensor grads = kinds[k].floats(at, dy, begin, count);
            Tensor sum = gradient(at, grads, rows, weights[k], rule, before);
            Tensor to = kinds[k].of(at, dx, begin, count);
            to.copyFrom(at.view(sum, to.shape()));
          }
          Tensor own = token.values.of(at, dy, begin, count);
          Tensor before = token.values.of(at, prior, begin, count);
          Tensor to = token.values.of(at, dx, begin, count);
          to.copyFrom(before == null ? own : at.add(at.floats(before), at.floats(own)));
        });
  }
}
