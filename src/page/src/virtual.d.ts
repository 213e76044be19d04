declare module "virtual:examples" {
  const list: { name: string; text: string }[];
  export default list;
}
declare module "virtual:schema" {
  const schema: import("./editor/schema").Schema;
  export default schema;
}
declare module "virtual:palette" {
  export const VERSIONS: string[];
  export const FAILURE: string;
}
