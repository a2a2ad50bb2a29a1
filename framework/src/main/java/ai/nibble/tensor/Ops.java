package ai.nibble.tensor;

import java.util.Arrays;

/**
 * Operations of libtorch on tensors, under aten's names. Those with an {@code out} write there and
 * return it; nothing else is allocated.
 */
public final class Ops {
  /** Multiplications of a product that libtorch does by a plain loop on the CPU. */
  private static final int SMALL_PRODUCT = 400;

  private Ops() {}

  /** {@code out[m, n] = a[m, k] · b[k, n]}, one dtype. */
  public static Tensor mm(Tensor out, Tensor a, Tensor b) {
    checkProduct("mm", out, a, b, 0);
    int code =
        out.device().isCpu()
            ? Libtorch.aoti_torch_cpu_mm_out(out.handle(), a.handle(), b.handle())
            : CudaOps.aoti_torch_cuda_mm_out(out.handle(), a.handle(), b.handle());
    Tensor.check(code, "mm", a, b);
    return out;
  }

  /** {@code out = beta · out + alpha · a[m, k] · b[k, n]}. */
  public static Tensor addmm(Tensor out, Tensor a, Tensor b, double beta, double alpha) {
    checkProduct("addmm", out, a, b, 0);
    int code =
        out.device().isCpu()
            ? Libtorch.aoti_torch_cpu_addmm_out(
                out.handle(), out.handle(), a.handle(), b.handle(), beta, alpha)
            : CudaOps.aoti_torch_cuda_addmm_out(
                out.handle(), out.handle(), a.handle(), b.handle(), beta, alpha);
    Tensor.check(code, "addmm", a, b);
    return out;
  }

  /** {@code out[i] = a[i, m, k] · b[i, k, n]} for every i. */
  public static Tensor bmm(Tensor out, Tensor a, Tensor b) {
    checkProduct("bmm", out, a, b, 1);
    int code =
        out.device().isCpu()
            ? Libtorch.aoti_torch_cpu_bmm_out(out.handle(), a.handle(), b.handle())
            : CudaOps.aoti_torch_cuda_bmm_out(out.handle(), a.handle(), b.handle());
    Tensor.check(code, "bmm", a, b);
    return out;
  }

  /**
   * {@code out[i] = beta · bias + alpha · a[i, m, k] · b[i, k, n]}; the bias is broadcast to out's
   * shape and, with beta 0, not read.
   */
  public static Tensor baddbmm(
      Tensor out, Tensor bias, Tensor a, Tensor b, double beta, double alpha) {
    checkProduct("baddbmm", out, a, b, 1);
    Tensor start = beta == 0 ? out : bias;
    if (beta == 0 && out.device().isCpu()) {
      boolean small = a.size(1) * a.size(2) * b.size(2) < SMALL_PRODUCT;
      if (small || out.dtype() == DType.FLOAT16) {
        // there libtorch multiplies by beta what is in memory, and a NaN stays one
        out.zero();
      }
    }
    int code =
        out.device().isCpu()
            ? Libtorch.aoti_torch_cpu_baddbmm_out(
                out.handle(), start.handle(), a.handle(), b.handle(), beta, alpha)
            : CudaOps.aoti_torch_cuda_baddbmm_out(
                out.handle(), start.handle(), a.handle(), b.handle(), beta, alpha);
    Tensor.check(code, "baddbmm", bias, a, b);
    return out;
  }

  /**
   * {@code out[m, n] = a[m, k] · b[n, k]ᵀ}, exact: int8 into int32. On a GPU m is above 16, n and k
   * are multiples of 8. A CPU without AVX512-VNNI computes it in a plain loop.
   *
   * @param out contiguous
   */
  public static Tensor intMm(Tensor out, Tensor a, Tensor b) {
    boolean ok =
        a.dtype() == DType.INT8
            && b.dtype() == DType.INT8
            && out.dtype() == DType.INT32
            && out.isContiguous()
            && a.dim() == 2
            && b.dim() == 2
            && out.dim() == 2
            && a.size(1) == b.size(1)
            && out.size(0) == a.size(0)
            && out.size(1) == b.size(0)
            && a.device().equals(out.device())
            && b.device().equals(out.device());
    if (!ok) {
      throw new TensorException("int_mm: " + a + " · transposed " + b + " into " + out);
    }
    // Of a transposed column libtorch cannot tell the layout, and reads beyond it: a row is clear.
    try (Tensor transposed = b.size(1) == 1 ? b.view(1, b.size(0)) : b.t()) {
      int code =
          out.device().isCpu()
              ? Libtorch.aoti_torch_cpu__int_mm_out(out.handle(), a.handle(), transposed.handle())
              : CudaOps.aoti_torch_cuda__int_mm_out(out.handle(), a.handle(), transposed.handle());
      Tensor.check(code, "int_mm", a, b);
    }
    return out;
  }

  private static void checkProduct(String op, Tensor out, Tensor a, Tensor b, int batchDims) {
    boolean ok =
        a.dim() == 2 + batchDims
            && b.dim() == 2 + batchDims
            && out.dim() == 2 + batchDims
            && a.dtype() == b.dtype()
            && a.dtype() == out.dtype()
            && a.device().equals(out.device())
            && b.device().equals(out.device())
            && a.size(-1) == b.size(-2)
            && out.size(-2) == a.size(-2)
            && out.size(-1) == b.size(-1)
            && (batchDims == 0 || (a.size(0) == b.size(0) && a.size(0) == out.size(0)));
    if (!ok) {
      throw new TensorException(op + ": " + a + " · " + b + " into " + out);
    }
  }

  /** A new tensor {@code a + alpha · b}. */
  public static Tensor add(Tensor a, Tensor b, double alpha) {
    if (!a.device().equals(b.device())) {
      throw new TensorException("add: " + a + " + " + b);
    }
    long[] result = new long[1];
    int code =
        a.device().isCpu()
            ? Libtorch.aoti_torch_cpu_add_Tensor(a.handle(), b.handle(), alpha, result)
            : CudaOps.aoti_torch_cuda_add_Tensor(a.handle(), b.handle(), alpha, result);
    Tensor.check(code, "add", a, b);
    boolean alike =
        a.dtype() == b.dtype()
            && Arrays.equals(a.shape(), b.shape())
            && a.isContiguous()
            && b.isContiguous();
    return alike ? Tensor.adoptLike(result[0], a) : Tensor.adopt(result[0], a.device());
  }

  /** {@code out = a ⊙ b}, broadcast. */
  public static Tensor mul(Tensor out, Tensor a, Tensor b) {
    Dispatcher.call("aten::mul", "out", a, b, out);
    return out;
  }

  /** {@code out = a / b}, element by element, broadcast. */
  public static Tensor div(Tensor out, Tensor a, Tensor b) {
    Dispatcher.call("aten::div", "out", a, b, out);
    return out;
  }

  /** {@code out = √x}; out may be x. */
  public static Tensor sqrt(Tensor out, Tensor x) {
    Dispatcher.call("aten::sqrt", "out", x, out);
    return out;
  }

  /** {@code out = x · sigmoid(x)}. */
  public static Tensor silu(Tensor out, Tensor x) {
    Dispatcher.call("aten::silu", "out", x, out);
    return out;
  }

  /** Gradient of {@link #silu} at x. */
  public static Tensor siluBackward(Tensor gradInput, Tensor gradOutput, Tensor x) {
    Dispatcher.call("aten::silu_backward", "grad_input", gradOutput, x, gradInput);
    return gradInput;
  }

  /** Softmax over the last dimension; out may be x. */
  public static Tensor softmax(Tensor out, Tensor x) {
    Dispatcher.call("aten::_softmax", "out", x, (long) x.dim() - 1, false, out);
    return out;
  }

  /** Gradient of {@link #softmax} from its output; gradInput may be gradOutput. */
  public static Tensor softmaxBackward(Tensor gradInput, Tensor gradOutput, Tensor output) {
    Dispatcher.call(
        "aten::_softmax_backward_data",
        "out",
        gradOutput,
        output,
        (long) output.dim() - 1,
        output.dtype(),
        gradInput);
    return gradInput;
  }

  /** Log-softmax over the last dimension; out may be x. */
  public static Tensor logSoftmax(Tensor out, Tensor x) {
    Dispatcher.call("aten::_log_softmax", "out", x, (long) x.dim() - 1, false, out);
    return out;
  }

  /** {@code out = exp(x)}; out may be x. */
  public static Tensor exp(Tensor out, Tensor x) {
    Dispatcher.call("aten::exp", "out", x, out);
    return out;
  }

  /** {@code out = tanh(x)}; out may be x. */
  public static Tensor tanh(Tensor out, Tensor x) {
    Dispatcher.call("aten::tanh", "out", x, out);
    return out;
  }

  /** Gradient of {@link #tanh} from its output; gradInput may be gradOutput. */
  public static Tensor tanhBackward(Tensor gradInput, Tensor gradOutput, Tensor output) {
    Dispatcher.call("aten::tanh_backward", "grad_input", gradOutput, output, gradInput);
    return gradInput;
  }

  /** {@code out = x[index]} along the first dimension; index is an int64 vector. */
  public static Tensor indexSelect(Tensor out, Tensor x, Tensor index) {
    return indexSelect(out, x, 0, index);
  }

  /** {@code out = x[…, index, …]} along a dimension; index is an int64 vector. */
  public static Tensor indexSelect(Tensor out, Tensor x, int dim, Tensor index) {
    Dispatcher.call("aten::index_select", "out", x, (long) dim, index, out);
    return out;
  }

  /**
   * The singular value decomposition {@code x = u · diag(s) · vᵀ} by LAPACK, float32 or float64.
   * With x {@code [m, n]} and k the smaller of both.
   *
   * @param u {@code [m, k]}, columns orthonormal
   * @param s {@code [k]}, falling
   * @param v {@code [n, k]}, columns orthonormal
   */
  public record Svd(Tensor u, Tensor s, Tensor v) implements AutoCloseable {
    @Override
    public void close() {
      u.close();
      s.close();
      v.close();
    }
  }

  /**
   * The QR decomposition {@code x = q · r} by LAPACK, float32 or float64. With x {@code [m, n]} and
   * k the smaller of both.
   *
   * @param q {@code [m, k]}, columns orthonormal
   * @param r {@code [k, n]}, zero below the diagonal
   */
  public record Qr(Tensor q, Tensor r) implements AutoCloseable {
    @Override
    public void close() {
      q.close();
      r.close();
    }
  }

  /** Decomposes a matrix; the caller closes the result. */
  public static Qr qr(Tensor x) {
    long k = Math.min(x.size(0), x.size(1));
    try (Scope scope = new Scope()) {
      Tensor[] reflectors = Dispatcher.results(2, "aten::geqrf", "", x);
      Tensor all = scope.own(reflectors[0]);
      Tensor factors = scope.own(reflectors[1]);
      Tensor columns = scope.own(all.narrow(1, 0, k));
      Tensor rows = scope.own(all.narrow(0, 0, k));
      String product = "aten::linalg_householder_product";
      Tensor q = scope.own(Dispatcher.results(1, product, "", columns, factors)[0]);
      Tensor r = Dispatcher.results(1, "aten::triu", "", rows, 0L)[0];
      return new Qr(q.share(), r);
    }
  }

  /** Decomposes a matrix; the caller closes the result. */
  public static Svd svd(Tensor x) {
    Tensor[] parts = Dispatcher.results(3, "aten::svd", "", x, true, true);
    return new Svd(parts[0], parts[1], parts[2]);
  }
}
