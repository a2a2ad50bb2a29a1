package ai.nibble.tensor;

/** An operation on tensors that could not be done; the message names the operation and shapes. */
public class TensorException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public TensorException(String message) {
    super(message);
  }

  public TensorException(String message, Throwable cause) {
    super(message, cause);
  }
}
