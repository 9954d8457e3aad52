/** What a Secret holds, as text by key. Pure. */
/** A field of an object whose shape nobody has checked. */
export type Dictionary = Readonly<Record<string, unknown>>;

/** `data` is base64, `stringData` is plain and wins, as the API server has it. */
export function valuesOf(secret: Dictionary): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [key, value] of Object.entries(dictionary(secret["data"]))) {
    values[key] = Buffer.from(String(value), "base64").toString();
  }
  for (const [key, value] of Object.entries(dictionary(secret["stringData"]))) {
    values[key] = String(value);
  }
  return values;
}

/** Empty where it is no object. */
export function dictionary(value: unknown): Dictionary {
  return typeof value === "object" && value !== null ? (value as Dictionary) : {};
}

/** What a relay uses of a Secret. PEM text for `ca`, `cert`, `key` and `dkimKey`. */
export type CredentialValues = {
  readonly username?: string;
  readonly password?: string;
  readonly clientSecret?: string;
  readonly dkimKey?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
};

/** The keys of the Secret types kubernetes.io/basic-auth and kubernetes.io/tls, ca.crt, client-secret and dkim.key. */
export function credentialOf(values: Readonly<Record<string, string>>): CredentialValues {
  const { username, password } = values;
  const { "ca.crt": ca, "tls.crt": cert, "tls.key": key } = values;
  const { "client-secret": clientSecret, "dkim.key": dkimKey } = values;
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(clientSecret !== undefined && { clientSecret }),
    ...(dkimKey !== undefined && { dkimKey }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}
