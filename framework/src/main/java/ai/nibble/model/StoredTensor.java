package ai.nibble.model;

import ai.nibble.tensor.DType;
import java.util.List;
import java.util.Optional;

/**
 * A tensor as a file holds it, before anyone has asked whether the model has such a tensor.
 *
 * @param storedName its name in the file
 * @param shape outermost first, in Hugging Face order
 * @param dtype what its values are read as; empty where they cannot be
 * @param typeName the type as the file spells it
 */
record StoredTensor(String storedName, List<Long> shape, Optional<DType> dtype, String typeName) {}
