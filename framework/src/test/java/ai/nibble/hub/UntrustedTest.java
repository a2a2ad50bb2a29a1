package ai.nibble.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.security.cert.CertPathBuilderException;
import java.security.cert.CertificateException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLHandshakeException;
import org.junit.jupiter.api.Test;

/** Java's reasons, which are made here as it makes them, in other words. */
class UntrustedTest {
  private static String reason(String said, Exception... causes) {
    SSLException e = new SSLHandshakeException(said);
    Throwable outer = e;
    for (Exception cause : causes) {
      outer.initCause(cause);
      outer = cause;
    }
    return Untrusted.reason(e);
  }

  @Test
  void everyReasonHasItsRemedyAndNoClassOfJavas() {
    assertEquals(
        "its certificate has expired: check this machine's clock, or wait until the server's owner"
            + " has renewed it",
        reason(
            "PKIX path validation failed: java.security.cert.CertPathValidatorException: validity"
                + " check failed",
            new CertificateException("PKIX path validation failed"),
            new CertificateExpiredException("NotAfter: Mon Jan 01 00:00:00 UTC 2024")));
    assertEquals(
        "its certificate has expired: check this machine's clock, or wait until the server's owner"
            + " has renewed it",
        reason(
            "PKIX path building failed",
            new CertPathBuilderException("unable to find valid certification path"),
            new CertificateExpiredException("NotAfter: Mon Jan 01 00:00:00 UTC 2024")));
    assertEquals(
        "its certificate is not valid yet: check this machine's clock",
        reason(
            "PKIX path validation failed",
            new CertificateNotYetValidException("NotBefore: Mon Jan 01 00:00:00 UTC 2124")));
    assertEquals(
        "nobody whom Java trusts vouches for its certificate; where a proxy signs for the hub, add its"
            + " certificate to Java's (-Djavax.net.ssl.trustStore)",
        reason(
            "PKIX path building failed: sun.security.provider.certpath.SunCertPathBuilderException",
            new CertPathBuilderException("unable to find valid certification path")));
    assertEquals(
        "its certificate is of another host: check the address in HF_ENDPOINT",
        reason("x", new CertificateException("No name matching localhost found")));
    assertEquals(
        "the answer is not encrypted: check the address in HF_ENDPOINT, and the proxy if there is"
            + " one",
        Untrusted.reason(new SSLException("Unsupported or unrecognized SSL message")));
    assertEquals(
        "Received fatal alert: handshake_failure: check the address in HF_ENDPOINT",
        reason("Received fatal alert: handshake_failure"));
  }
}
