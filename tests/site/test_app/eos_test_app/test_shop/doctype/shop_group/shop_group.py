from frappe.utils.nestedset import NestedSet


class ShopGroup(NestedSet):
    nsm_parent_field = "parent_shop_group"
